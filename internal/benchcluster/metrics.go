package benchcluster

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sabot-stream/sabot/internal/clock"
	"github.com/sabot-stream/sabot/objstore/metered"
)

// scraped are a process's metrics, by name with labels.
type scraped map[string]float64

// scrape reads a process's metrics.
func (c *cluster) scrape(ctx context.Context, name string) (scraped, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.procs[name].http+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the metrics of %s: %w", name, err)
	}
	defer resp.Body.Close()
	m := scraped{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		text := lines.Text()
		i := strings.LastIndexByte(text, ' ')
		if i < 0 || text[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(text[i+1:], 64); err == nil {
			m[text[:i]] = v
		}
	}
	return m, lines.Err()
}

// answer waits until all processes show their metrics.
func (c *cluster) answer(ctx context.Context) error {
	until := clock.Real().Now().Add(patience)
	for name := range c.procs {
		for {
			_, err := c.scrape(ctx, name)
			if err == nil {
				break
			}
			if ended := c.alive(); ended != nil {
				return ended
			}
			if clock.Real().Now().After(until) {
				return err
			}
			if err := clock.Real().Sleep(ctx, 50*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// calls are calls of the bucket by kind, however they ended.
type calls map[metered.Op]float64

// calls returns how many calls of the bucket each process has made.
func (c *cluster) calls(ctx context.Context) (map[string]calls, error) {
	all := map[string]calls{}
	for name := range c.procs {
		m, err := c.scrape(ctx, name)
		if err != nil {
			return nil, err
		}
		all[name] = calls{}
		for series, v := range m {
			if !strings.HasPrefix(series, "sabot_storage_operations_total{") {
				continue
			}
			for _, op := range metered.Ops {
				if strings.Contains(series, `op="`+string(op)+`"`) {
					all[name][op] += v
				}
			}
		}
	}
	return all, nil
}

// callsDuring returns the calls of all processes in a time.
func (c *cluster) callsDuring(ctx context.Context, d time.Duration) (calls, error) {
	before, err := c.calls(ctx)
	if err != nil {
		return nil, err
	}
	if err := clock.Real().Sleep(ctx, d); err != nil {
		return nil, err
	}
	after, err := c.calls(ctx)
	if err != nil {
		return nil, err
	}
	sum := calls{}
	for name, m := range after {
		for op, n := range m {
			sum[op] += n - before[name][op]
		}
	}
	return sum, nil
}
