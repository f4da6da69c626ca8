package control

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/sabot-stream/sabot/checkpoint/pb"
	"github.com/sabot-stream/sabot/internal/control/pb"
	"github.com/sabot-stream/sabot/internal/coord"
)

// Status implements controlpb.ControlServer.
func (s *Server) Status(ctx context.Context, _ *controlpb.StatusRequest) (*controlpb.StatusReply, error) {
	st, err := s.driver.Status(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	why := st.Why()
	reply := &controlpb.StatusReply{Root: bare(st.Root), NowUs: s.clock.Now().UnixMicro(), Stuck: why.Stuck, Slow: why.Slow,
		CommitUs: st.CommitFor.Microseconds(), Moving: st.Moving}
	for _, w := range st.Workers {
		reply.Workers = append(reply.Workers, workerStatus(w))
	}
	for _, x := range st.Splits {
		reply.Splits = append(reply.Splits, splitStatus(x))
	}
	return reply, nil
}

// bare returns a root without what only programs need.
func bare(root *pb.Root) *pb.Root {
	root = proto.Clone(root).(*pb.Root)
	root.Plan = nil
	for _, src := range root.Sources {
		src.Schema = nil
	}
	for _, o := range root.Outputs {
		o.Schema = nil
	}
	return root
}

func workerStatus(w coord.WorkerStatus) *controlpb.WorkerStatus {
	return &controlpb.WorkerStatus{Id: string(w.ID), Name: w.Name, Group: w.Group, HasGroup: w.Has, Leaving: w.Leaving, SilentUs: w.Silent.Microseconds(),
		Progress: w.Progress, OpenCut: w.Open, OpenUs: w.OpenFor.Microseconds(), Load: w.Load, LoadUs: w.LoadAge.Microseconds()}
}

func splitStatus(x coord.SplitStatus) *controlpb.SplitStatus {
	lag := int64(-1)
	if x.Lag >= 0 {
		lag = x.Lag.Microseconds()
	}
	return &controlpb.SplitStatus{Source: x.Source, Id: x.ID, Group: x.Group, Rows: x.Rows, LagRows: x.LagRows, LagBytes: x.LagBytes, LagUs: lag,
		WatermarkUs: x.WatermarkUs, HasWatermark: x.Started, Ended: x.Ended, Idle: x.Idle, StillUs: x.Still.Microseconds()}
}
