package main

import (
	"context"
	"time"

	proglog "github.com/proglog/proglog/sdk/go"
)

// logs does a command that administers logs.
func logs(ctx context.Context, client *proglog.Client, c *command) (any, error) {
	switch c.Op {
	case "put_log":
		info, created, err := client.PutLog(ctx, c.Log, c.settings()...)
		if err != nil {
			return nil, err
		}
		return map[string]any{"info": tellInfo(&info), "created": created}, nil
	case "create_log":
		return told(client.CreateLog(ctx, c.Log))
	case "describe_log":
		return told(client.DescribeLog(ctx, c.Log))
	case "seal_log":
		return told(client.SealLog(ctx, c.Log))
	case "list_logs":
		all := []any{}
		for info, err := range client.Logs(ctx, c.Prefix) {
			if err != nil {
				return nil, err
			}
			all = append(all, tellInfo(&info))
		}
		return map[string]any{"logs": all}, nil
	case "trim_log":
		first, err := client.TrimLog(ctx, c.Log, uint64(c.First))
		if err != nil {
			return nil, err
		}
		return map[string]any{"first_offset": number(first)}, nil
	case "delete_log":
		return nil, client.DeleteLog(ctx, c.Log)
	}
	return nil, misuse("there is no command %q", c.Op)
}

func told(info proglog.LogInfo, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return map[string]any{"info": tellInfo(&info)}, nil
}

// settings are those of put_log. Both bounds go together, as in the SDK: the one
// that is absent is none.
func (c *command) settings() []proglog.LogSetting {
	var settings []proglog.LogSetting
	if c.MaxAgeMS != nil || c.MaxBytes != nil {
		var keep proglog.Retention
		if c.MaxAgeMS != nil {
			keep.MaxAge = time.Duration(*c.MaxAgeMS) * time.Millisecond
		}
		if c.MaxBytes != nil {
			keep.MaxBytes = uint64(*c.MaxBytes)
		}
		settings = append(settings, proglog.Retain(keep))
	}
	if c.Sealed {
		settings = append(settings, proglog.Sealed())
	}
	return settings
}
