package wire

import (
	"time"

	"github.com/proglog/proglog/server/bench/internal/peer"
)

// A Server is our server as users start it, for clients that are no peers.
type Server struct{ served *served }

// StartServer starts the binary on a data directory below dir. The error is
// [peer.ErrUnavailable] if there is no binary.
func StartServer(bin, dir string) (*Server, error) {
	s, err := startProglog(bin, dir, peer.Load{Logs: 1})
	if err != nil {
		return nil, err
	}
	return &Server{served: s}, nil
}

// Address is what clients are given, http://host:port.
func (s *Server) Address() string { return "http://" + s.served.process.Ready }

// CPU returns the processor time that it has used.
func (s *Server) CPU() (time.Duration, error) { return s.served.CPU() }

// Stop ends it, in order if it can.
func (s *Server) Stop() error { return s.served.stop() }
