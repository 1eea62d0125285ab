package rpc

import (
	"context"
	"errors"
	"sync"
	"time"

	"connectrpc.com/connect/v2"

	healthv1 "github.com/proglog/proglog/sdk/go/gen/health/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
	"github.com/proglog/proglog/server/commitlog"
)

// gRPC's health protocol. Its errors carry no detail of ours: the protocol is
// not ours either.
const (
	healthService        = "grpc.health.v1.Health"
	healthCheckProcedure = "/" + healthService + "/Check"
	healthWatchProcedure = "/" + healthService + "/Watch"
)

func isHealth(procedure string) bool {
	return procedure == healthCheckProcedure || procedure == healthWatchProcedure
}

// health knows whether the server takes calls: not once it drains, nor when the
// storage has failed. A full disk is no reason: reads go on, and appends resume
// by themselves.
type health struct {
	draining <-chan struct{}
	check    func() error  // the engine's
	interval time.Duration // how often a watch looks by itself

	mu    sync.Mutex
	dirty chan struct{} // closed and replaced when there may be news
}

func newHealth(draining <-chan struct{}, check func() error, interval time.Duration) *health {
	return &health{draining: draining, check: check, interval: interval, dirty: make(chan struct{})}
}

// changed makes every watch look again. It is called when an append failed,
// which is how a failed storage shows first.
func (h *health) changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.dirty)
	h.dirty = make(chan struct{})
}

// news returns a channel that is closed by the next call of changed.
func (h *health) news() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dirty
}

// status returns the state of a service; "" is the server as a whole.
func (h *health) status(service string) healthv1.HealthCheckResponse_ServingStatus {
	switch service {
	case "", logv1connect.LogName, logv1connect.AdminName:
	default:
		return healthv1.HealthCheckResponse_SERVICE_UNKNOWN
	}
	select {
	case <-h.draining:
		return healthv1.HealthCheckResponse_NOT_SERVING
	default:
	}
	err := h.check()
	if err == nil || errors.Is(err, commitlog.ErrStorageFull) || errors.Is(err, commitlog.ErrOverloaded) {
		return healthv1.HealthCheckResponse_SERVING
	}
	return healthv1.HealthCheckResponse_NOT_SERVING
}

// register adds the protocol's methods to a server.
func (h *health) register(server *connect.Server, schema healthSchema) {
	server.Register(
		connect.Method{
			Spec: connect.Spec{
				StreamType: connect.StreamTypeUnary,
				Schema:     schema.method("Check"),
				Procedure:  healthCheckProcedure,
			},
			Handler: h.serveCheck,
		},
		connect.Method{
			Spec: connect.Spec{
				StreamType: connect.StreamTypeServer,
				Schema:     schema.method("Watch"),
				Procedure:  healthWatchProcedure,
			},
			Handler: h.serveWatch,
		},
	)
}

func (h *health) serveCheck(_ context.Context, _ connect.Spec, stream connect.ServerStream) error {
	var req healthv1.HealthCheckRequest
	if err := stream.Receive(&req); err != nil {
		return err
	}
	status := h.status(req.GetService())
	if status == healthv1.HealthCheckResponse_SERVICE_UNKNOWN {
		return connect.NewError(connect.CodeNotFound, "unknown service")
	}
	return stream.Send(&healthv1.HealthCheckResponse{Status: status})
}

// serveWatch sends the state now and whenever it changes. The last message
// before a drain ends the stream is NOT_SERVING.
func (h *health) serveWatch(ctx context.Context, _ connect.Spec, stream connect.ServerStream) error {
	var req healthv1.HealthCheckRequest
	if err := stream.Receive(&req); err != nil {
		return err
	}
	look := time.NewTicker(h.interval)
	defer look.Stop()
	sent := healthv1.HealthCheckResponse_UNKNOWN
	for {
		news := h.news()
		ended := ctx.Err()
		if status := h.status(req.GetService()); status != sent {
			if err := stream.Send(&healthv1.HealthCheckResponse{Status: status}); err != nil {
				return err
			}
			sent = status
		}
		if ended != nil {
			return ended
		}
		select {
		case <-news:
		case <-look.C:
		case <-ctx.Done():
		}
	}
}
