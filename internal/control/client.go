package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/control/pb"
)

// dialTimeout bounds the attempt to reach one address.
const dialTimeout = 3 * time.Second

// Client is a connection with a coordinator.
type Client struct {
	controlpb.ControlClient
	conn *grpc.ClientConn
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Dial connects with the coordinator at an address. It makes no request.
func Dial(addr string, sec Security) (*Client, error) {
	opts, err := sec.client()
	if err != nil {
		return nil, err
	}
	opts = append(opts, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout, PermitWithoutStream: true}))
	conn, err := grpc.NewClient("passthrough:///"+addr, opts...)
	if err != nil {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("coordinator address %q: %w", addr, err))
	}
	return &Client{controlpb.NewControlClient(conn), conn}, nil
}

// Conn is a worker's connection with its coordinator. It implements engine.Coordinator.
type Conn struct {
	client *Client
	stream grpc.BidiStreamingClient[pb.FromWorker, pb.ToWorker]
	cancel context.CancelFunc
	send   chan struct{} // holds the right to send
}

// Connect connects a worker with the first of some addresses at which a coordinator answers: of a job's coordinators only the one that leads does.
func Connect(ctx context.Context, addrs []string, sec Security) (*Conn, error) {
	var errs []error
	for _, addr := range addrs {
		c, err := connect(ctx, strings.TrimSpace(addr), sec)
		if err == nil {
			return c, nil
		}
		if sabot.KindOf(err) == sabot.Invalid {
			return nil, err
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, err))
	}
	return nil, sabot.WithKind(sabot.Retry, fmt.Errorf("no coordinator answers: %w", errors.Join(errs...)))
}

func connect(ctx context.Context, addr string, sec Security) (*Conn, error) {
	client, err := Dial(addr, sec)
	if err != nil {
		return nil, err
	}
	probe, done := context.WithTimeout(ctx, dialTimeout)
	defer done()
	if _, err := client.Status(probe, &controlpb.StatusRequest{}); err != nil {
		return nil, errors.Join(meaning(err), client.Close())
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	st, err := client.Work(life)
	if err != nil {
		cancel()
		return nil, errors.Join(meaning(err), client.Close())
	}
	c := &Conn{client, st, cancel, make(chan struct{}, 1)}
	c.send <- struct{}{}
	return c, nil
}

// meaning gives an error of gRPC its kind, and leaves out what says nothing to a person.
func meaning(err error) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	text := errors.New(s.Message())
	switch s.Code() {
	case codes.Unauthenticated, codes.InvalidArgument, codes.FailedPrecondition, codes.NotFound, codes.Unimplemented, codes.ResourceExhausted:
		return sabot.WithKind(sabot.Invalid, text)
	}
	return sabot.WithKind(sabot.Retry, text)
}

// Meaning returns an error of a Client's call as one that carries a sabot.Kind.
func Meaning(err error) error {
	if err == nil {
		return nil
	}
	return meaning(err)
}

// Send implements engine.Coordinator.
func (c *Conn) Send(ctx context.Context, m *pb.FromWorker) error {
	if r := m.GetRegister(); r != nil {
		r.Protocol = Protocol
	}
	select {
	case <-c.send:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { c.send <- struct{}{} }()
	if err := c.stream.Send(m); err != nil {
		return sabot.WithKind(sabot.Retry, fmt.Errorf("send to the coordinator: %w", err))
	}
	return nil
}

// Recv implements engine.Coordinator.
func (c *Conn) Recv(ctx context.Context) (*pb.ToWorker, error) {
	stop := context.AfterFunc(ctx, c.cancel)
	defer stop()
	m, err := c.stream.Recv()
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("the coordinator is gone: %w", meaning(err))
	}
	return m, nil
}

// Close hangs up.
func (c *Conn) Close() error {
	c.cancel()
	return c.client.Close()
}
