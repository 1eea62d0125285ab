package audit

import (
	"context"

	proglog "github.com/proglog/proglog/sdk/go"
)

// Read returns a reading of a log, whose bounds it asks for at once.
func Read(ctx context.Context, client *proglog.Client, log string) (Reading, error) {
	info, err := client.DescribeLog(ctx, log)
	if err != nil {
		return Reading{}, err
	}
	r := Reading{First: info.FirstOffset, Next: info.NextOffset, Bytes: info.Bytes}
	if r.First < r.Next { // an empty range cannot be asked for
		r.Records = client.Follow(ctx, proglog.InLog(log), proglog.OnlyLog(info.ID), proglog.From(r.First), proglog.Until(r.Next))
		return r, nil
	}
	r.Records = func(func(proglog.Record, error) bool) {}
	return r, nil
}
