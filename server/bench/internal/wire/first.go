package wire

import (
	"os"
	"time"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
)

// First is what our server takes before it has done anything.
type First struct {
	BinaryBytes int64         // of the binary
	Listening   time.Duration // from the start of the process on an empty directory
	Answer      time.Duration // to the first ack
	Resident    int64         // memory, after the first ack
}

// MeasureFirst starts the binary on an empty directory in each round.
func MeasureFirst(dir, bin string, rounds int) (f First, err error) {
	info, err := os.Stat(bin)
	if err != nil {
		return f, err
	}
	f.BinaryBytes = info.Size()
	var listening, answer, resident []float64
	for range rounds {
		began := time.Now()
		own, err := os.MkdirTemp(dir, "first-*")
		if err != nil {
			return f, err
		}
		subject, err := Proglog{Bin: bin}.Open(own, peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: 100})
		if err != nil {
			return f, err
		}
		s := subject.(*grpcSubject)
		listening = append(listening, float64(s.process.Took))
		if _, err = s.Writer(0, peer.NewBatch(0, 1, 100)).Append(0); err == nil {
			answer = append(answer, float64(time.Since(began)))
			var bytes int64
			_, bytes, err = s.process.Memory()
			resident = append(resident, float64(bytes))
		}
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
		if err == nil {
			err = os.RemoveAll(own)
		}
		if err != nil {
			return f, err
		}
	}
	f.Listening, f.Answer, f.Resident = time.Duration(measure.Median(listening)), time.Duration(measure.Median(answer)), int64(measure.Median(resident))
	return f, nil
}
