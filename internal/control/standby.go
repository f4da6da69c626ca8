package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sabot-stream/sabot/internal/control/pb"
)

// AnswerStandbys makes the server tell standbys whether its coordinator holds a leadership, by f, which any goroutine may call. Without it none is
// held. It is called before Serve.
func (s *Server) AnswerStandbys(f func(leadership, standby string) bool) { s.leads = f }

// Leads implements controlpb.ControlServer.
func (s *Server) Leads(_ context.Context, r *controlpb.LeadsRequest) (*controlpb.LeadsReply, error) {
	if s.leads == nil || !s.leads(r.Leadership, r.Standby) {
		return nil, status.Error(codes.FailedPrecondition, "the coordinator here does not lead the job, or not any more")
	}
	return &controlpb.LeadsReply{}, nil
}

// maxReach bounds the addresses of a machine that has many.
const maxReach = 4

// Reach returns the addresses at which the server can be reached: where it listens, or, when it listens everywhere, at the addresses of this machine
// that are not for this machine alone.
func (s *Server) Reach() []string {
	host, port, err := net.SplitHostPort(s.Addr())
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return []string{s.Addr()}
	}
	var addrs []string
	all, _ := net.InterfaceAddrs() // of a machine that does not tell, none is known
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && len(addrs) < maxReach {
			addrs = append(addrs, net.JoinHostPort(n.IP.String(), port))
		}
	}
	return addrs
}

// Asker asks coordinators whether they lead, over a connection that it keeps. One goroutine uses it.
type Asker struct {
	Security Security

	addr   string  // that has answered last; empty: none, or not any more
	client *Client // with it; nil: there is no connection
}

// Ask returns nil when the coordinator at one of the addresses holds a leadership. Ctx bounds the time. Standby is a name of this process. An address
// that has answered is asked alone, and once more on a new connection when it fails: others of the same machine may be such that nobody answers there.
func (a *Asker) Ask(ctx context.Context, addrs []string, leadership, standby string) error {
	r := &controlpb.LeadsRequest{Leadership: leadership, Standby: standby}
	if a.client != nil && slices.Contains(addrs, a.addr) {
		_, err := a.client.Leads(ctx, r)
		if err == nil {
			return nil
		}
		return errors.Join(asked(a.addr, meaning(err)), a.Close())
	}
	if err := a.Close(); err != nil {
		return err
	}
	if slices.Contains(addrs, a.addr) {
		addrs = []string{a.addr}
	}
	a.addr = ""
	return a.search(ctx, addrs, r)
}

// search asks at all addresses at a time, and keeps the connection with one that answers.
func (a *Asker) search(ctx context.Context, addrs []string, r *controlpb.LeadsRequest) error {
	clients, errs := make([]*Client, len(addrs)), make([]error, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		wg.Go(func() {
			c, err := Dial(addr, a.Security)
			if err == nil {
				clients[i] = c
				_, err = c.Leads(ctx, r)
			}
			errs[i] = Meaning(err)
		})
	}
	wg.Wait()
	for i, c := range clients {
		switch {
		case c == nil:
		case errs[i] == nil && a.client == nil:
			a.addr, a.client = addrs[i], c
		default:
			errs[i] = errors.Join(errs[i], c.Close())
		}
	}
	if a.client != nil {
		return nil
	}
	for i := range errs {
		errs[i] = asked(addrs[i], errs[i])
	}
	return errors.Join(errs...)
}

func asked(addr string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ask the coordinator at %s whether it leads: %w", addr, err)
}

// Close ends the connection, if there is one. The next Ask sets up another.
func (a *Asker) Close() error {
	if a.client == nil {
		return nil
	}
	c := a.client
	a.client = nil
	return c.Close()
}
