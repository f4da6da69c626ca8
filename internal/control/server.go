package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/internal/control/pb"
	"github.com/sabot-stream/sabot/internal/coord"
)

// Protocol is the version of the messages that this program speaks; a coordinator takes workers of it and of the one before.
const Protocol = 1

// maxMessage bounds a message: a root of a very large job has some megabytes.
const maxMessage = 64 << 20

// How soon a connection whose other end has vanished is noticed.
const (
	pingAfter   = 2 * time.Second
	pingTimeout = 3 * time.Second
)

// Server serves one coordinator.
type Server struct {
	controlpb.UnimplementedControlServer
	listener net.Listener
	grpc     *grpc.Server
	driver   *coord.Driver
	leads    func(leadership, standby string) bool // nil: nobody can ask
	clock    clock.Clock
}

// Listen opens the address at which a coordinator can be reached.
func Listen(addr string, sec Security, c clock.Clock) (*Server, error) {
	opts, err := sec.server(addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("listen for workers: %w", err))
	}
	opts = append(opts, grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingAfter / 2, PermitWithoutStream: true}))
	s := &Server{listener: l, grpc: grpc.NewServer(opts...), clock: c}
	controlpb.RegisterControlServer(s.grpc, s)
	return s, nil
}

// Addr returns the address at which it listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve serves a driver until ctx ends, and then hangs up.
func (s *Server) Serve(ctx context.Context, d *coord.Driver) error {
	s.driver = d
	stop := context.AfterFunc(ctx, s.hangUp)
	defer stop()
	err := s.grpc.Serve(s.listener)
	if ctx.Err() != nil || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return fmt.Errorf("serve workers: %w", err)
}

// goodbye is how long workers have to hear the last messages.
const goodbye = 500 * time.Millisecond

func (s *Server) hangUp() {
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(goodbye):
		s.grpc.Stop()
	}
}

// Close frees the address of a server that does not serve.
func (s *Server) Close() error { return s.listener.Close() }

// Work implements controlpb.ControlServer.
func (s *Server) Work(st grpc.BidiStreamingServer[pb.FromWorker, pb.ToWorker]) error {
	first, err := st.Recv()
	if err != nil {
		return err
	}
	reg := first.GetRegister()
	switch {
	case reg == nil:
		return status.Error(codes.InvalidArgument, "a worker's first message must register it")
	case reg.Protocol > Protocol || reg.Protocol+1 < Protocol:
		return status.Errorf(codes.FailedPrecondition, "the worker speaks version %d of the protocol, this coordinator %d: upgrade one version at a time",
			reg.Protocol, Protocol)
	}
	there, here := coord.NewPipe()
	ctx, cancel := context.WithCancelCause(st.Context())
	defer cancel(nil)
	if !s.driver.Attach(ctx, coord.WorkerID(s.clock.Random(8)), hungUp{there, ctx}) {
		return status.Error(codes.Unavailable, "the coordinator is about to stop")
	}
	if err := here.Send(ctx, first); err != nil {
		return err
	}
	go func() {
		for {
			m, err := st.Recv()
			if err == nil {
				err = here.Send(ctx, m)
			}
			if err != nil {
				cancel(err)
				return
			}
		}
	}()
	for {
		m, err := here.Recv(ctx)
		if err != nil {
			if errors.Is(context.Cause(ctx), io.EOF) {
				return nil
			}
			return status.Error(codes.Unavailable, "the connection has ended")
		}
		if err := st.Send(m); err != nil {
			return err
		}
		if m.GetStop() != nil {
			return nil
		}
	}
}

// hungUp is a coordinator's end of a connection that ends with a context.
type hungUp struct {
	coord.Conn
	ctx context.Context //nolint:containedctx // it is the connection's life
}

func (h hungUp) Recv(ctx context.Context) (*pb.FromWorker, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(h.ctx, func() { cancel(errors.New("the worker has hung up")) })
	defer stop()
	return h.Conn.Recv(ctx)
}

// Stop implements controlpb.ControlServer.
func (s *Server) Stop(ctx context.Context, r *controlpb.StopRequest) (*controlpb.StopReply, error) {
	if r.SavepointId == "" {
		if r.Drain {
			s.driver.RequestDrain()
		} else {
			s.driver.RequestStop()
		}
		return &controlpb.StopReply{}, nil
	}
	return &controlpb.StopReply{}, s.do(ctx, func(m *coord.Machine, now time.Time) error {
		return m.StopWithSavepoint(r.SavepointId, r.SavepointName, r.Drain, now, now.Add(s.driver.StopTimeout()))
	})
}

// Savepoint implements controlpb.ControlServer.
func (s *Server) Savepoint(ctx context.Context, r *controlpb.SavepointRequest) (*controlpb.SavepointReply, error) {
	return &controlpb.SavepointReply{}, s.do(ctx, func(m *coord.Machine, now time.Time) error { return m.Savepoint(r.Id, r.Name, now) })
}

// RemoveSavepoint implements controlpb.ControlServer.
func (s *Server) RemoveSavepoint(ctx context.Context, r *controlpb.RemoveSavepointRequest) (*controlpb.RemoveSavepointReply, error) {
	return &controlpb.RemoveSavepointReply{}, s.do(ctx, func(m *coord.Machine, now time.Time) error { return m.RemovePin(r.Id, now) })
}

// Clone implements controlpb.ControlServer.
func (s *Server) Clone(ctx context.Context, r *controlpb.CloneRequest) (*controlpb.CloneReply, error) {
	return &controlpb.CloneReply{}, s.do(ctx, func(m *coord.Machine, now time.Time) error { return m.PinClone(r.Of, r.Id, r.Job, now) })
}

// do calls f with the machine, and says why it refuses.
func (s *Server) do(ctx context.Context, f func(*coord.Machine, time.Time) error) error {
	var refused error
	err := s.driver.Do(ctx, func(m *coord.Machine, now time.Time) { refused = f(m, now) })
	switch {
	case err != nil:
		return unavailable(err)
	case sabot.KindOf(refused) == sabot.Invalid:
		return status.Error(codes.InvalidArgument, refused.Error())
	}
	return unavailable(refused)
}

// Drain implements controlpb.ControlServer.
func (s *Server) Drain(ctx context.Context, r *controlpb.DrainRequest) (*controlpb.DrainReply, error) {
	found := 0
	err := s.driver.Do(ctx, func(m *coord.Machine, now time.Time) { found = m.Drain(r.Worker, now) })
	switch {
	case err != nil:
		return nil, unavailable(err)
	case found == 0:
		return nil, status.Errorf(codes.NotFound, "there is no worker %q", r.Worker)
	case found > 1:
		return nil, status.Errorf(codes.InvalidArgument, "%d workers are named %q: give the id", found, r.Worker)
	}
	return &controlpb.DrainReply{}, nil
}

// Rescale implements controlpb.ControlServer.
func (s *Server) Rescale(ctx context.Context, r *controlpb.RescaleRequest) (*controlpb.RescaleReply, error) {
	return &controlpb.RescaleReply{}, s.do(ctx, func(m *coord.Machine, now time.Time) error { return m.Rescale(int(r.Partitions), now) })
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(codes.Unavailable, err.Error())
}
