// Package storetest is the conformance suite of objstore.Bucket: every driver passes it. What it holds a store to is what commits rest on, above
// all that of racing conditional writes one wins.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sabot-stream/sabot"
	"github.com/sabot-stream/sabot/objstore"
)

// racers is how many goroutines race, rounds how often.
const (
	racers = 8
	rounds = 25
)

// Run runs the suite. Open returns an empty bucket, or an empty part of one; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) objstore.Bucket) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"put and get", (*suite).putGet},
		{"a missing object", (*suite).missing},
		{"create if absent", (*suite).create},
		{"replace at a version", (*suite).replace},
		{"A-B-A", (*suite).aba},
		{"creates race", (*suite).createRace},
		{"replacements race", (*suite).casRace},
		{"increments are not lost", (*suite).increments},
		{"writes are seen whole", (*suite).whole},
		{"ranges", (*suite).ranges},
		{"listing", (*suite).list},
		{"delete", (*suite).delete},
		{"keys", (*suite).keys},
		{"bodies are copied", (*suite).copies},
		{"an ended context", (*suite).ended},
		{"probe", (*suite).probe},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t)
			c.test(&suite{T: t, b: b, ctx: t.Context()})
			if err := b.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

type suite struct {
	*testing.T
	b   objstore.Bucket
	ctx context.Context
}

func (s *suite) put(key, body string) {
	s.Helper()
	if err := s.b.Put(s.ctx, key, []byte(body)); err != nil {
		s.Fatalf("put %s: %v", key, err)
	}
}

func (s *suite) putIf(key, body string, expected objstore.Version) objstore.Version {
	s.Helper()
	v, err := s.b.PutIf(s.ctx, key, []byte(body), expected)
	if err != nil {
		s.Fatalf("put %s if at %q: %v", key, expected, err)
	}
	if v == objstore.Absent {
		s.Fatalf("put %s: the new version is that of an absent object", key)
	}
	return v
}

func (s *suite) refused(key string, expected objstore.Version) {
	s.Helper()
	if v, err := s.b.PutIf(s.ctx, key, []byte("refused"), expected); !errors.Is(err, objstore.ErrPrecondition) {
		s.Fatalf("put %s if at %q: version %q, error %v, want %v", key, expected, v, err, objstore.ErrPrecondition)
	}
}

func (s *suite) want(key, body string) objstore.Version {
	s.Helper()
	got, v, err := s.b.Get(s.ctx, key)
	if err != nil {
		s.Fatalf("get %s: %v", key, err)
	}
	if string(got) != body {
		s.Fatalf("get %s: %d bytes %.40q, want %d bytes %.40q", key, len(got), got, len(body), body)
	}
	return v
}

func (s *suite) putGet() {
	for _, body := range []string{"", "x", strings.Repeat("0123456789abcdef", 1<<16), "shorter"} {
		s.put("a/b", body)
		s.want("a/b", body)
	}
}

func (s *suite) missing() {
	s.put("a/there", "x")
	for _, key := range []string{"gone", "a/gone", "a/there/below", "a"} {
		if _, _, err := s.b.Get(s.ctx, key); !errors.Is(err, objstore.ErrNotFound) {
			s.Errorf("get %s: %v, want %v", key, err, objstore.ErrNotFound)
		}
		if _, err := s.b.GetRange(s.ctx, key, 0, 1); !errors.Is(err, objstore.ErrNotFound) {
			s.Errorf("get a range of %s: %v, want %v", key, err, objstore.ErrNotFound)
		}
	}
	if _, err := s.b.PutIf(s.ctx, "gone", []byte("x"), s.want("a/there", "x")); !errors.Is(err, objstore.ErrPrecondition) {
		s.Errorf("replace of a missing object: %v, want %v", err, objstore.ErrPrecondition)
	}
}

func (s *suite) create() {
	v := s.putIf("k", "one", objstore.Absent)
	if got := s.want("k", "one"); got != v {
		s.Errorf("get returned version %q, the write %q", got, v)
	}
	s.refused("k", objstore.Absent)
	s.put("put", "x")
	s.refused("put", objstore.Absent)
	s.want("k", "one")
}

func (s *suite) replace() {
	v1 := s.putIf("k", "one", objstore.Absent)
	v2 := s.putIf("k", "two", v1)
	s.refused("k", v1)
	s.refused("k", objstore.Absent)
	v3 := s.putIf("k", "three", s.want("k", "two"))
	s.refused("k", v2)
	if s.want("k", "three") != v3 {
		s.Error("the version is not that of the last write")
	}
	s.put("k", "unconditional")
	s.refused("k", v3)
}

// aba checks that an old version is refused after the object has been through others. Bodies differ, as those of commits do by their nonce: a
// store's version may be a hash of the content.
func (s *suite) aba() {
	first := s.putIf("k", "A nonce 1", objstore.Absent)
	second := s.putIf("k", "B nonce 2", first)
	s.putIf("k", "A nonce 3", second)
	s.refused("k", first)
	s.refused("k", second)
	if err := s.b.Delete(s.ctx, "k"); err != nil {
		s.Fatal(err)
	}
	s.refused("k", first)
	s.putIf("k", "A nonce 4", objstore.Absent)
	s.refused("k", first)
}

// race lets all racers write, and returns who was told that it won.
func (s *suite) race(key string, expected objstore.Version, body func(i int) string) (winner int, v objstore.Version) {
	s.Helper()
	versions, errs := make([]objstore.Version, racers), make([]error, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() { versions[i], errs[i] = s.b.PutIf(s.ctx, key, []byte(body(i)), expected) })
	}
	wg.Wait()
	winner = -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			s.Fatalf("%s: writers %d and %d of one version were both told that they won", key, winner, i)
		case err == nil:
			winner, v = i, versions[i]
		case !errors.Is(err, objstore.ErrPrecondition) && !errors.Is(err, objstore.ErrConflict):
			s.Fatalf("%s: a losing writer got %v, want %v or %v", key, err, objstore.ErrPrecondition, objstore.ErrConflict)
		}
	}
	if winner < 0 {
		s.Fatalf("%s: nobody won", key)
	}
	return winner, v
}

func (s *suite) createRace() {
	for r := range rounds {
		key := fmt.Sprintf("race/%d", r)
		body := func(i int) string { return fmt.Sprint("writer ", i) }
		w, v := s.race(key, objstore.Absent, body)
		if s.want(key, body(w)) != v {
			s.Fatalf("%s: the version is not the winner's", key)
		}
	}
}

func (s *suite) casRace() {
	v := s.putIf("k", "start", objstore.Absent)
	for r := range rounds {
		body := func(i int) string { return fmt.Sprintf("round %d writer %d", r, i) }
		w, next := s.race("k", v, body)
		s.want("k", body(w))
		v = next
	}
}

// increments counts up from all racers: a lost update shows in the sum.
func (s *suite) increments() {
	const each = 12
	s.putIf("n", "0 start", objstore.Absent)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			for j := range each {
				if err := s.increment(fmt.Sprintf("%d.%d", i, j)); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	body, _, err := s.b.Get(s.ctx, "n")
	if err != nil {
		s.Fatal(err)
	}
	n := 0
	if _, err := fmt.Sscan(string(body), &n); err != nil || n != racers*each {
		s.Errorf("after %d increments the counter is %q", racers*each, body)
	}
}

func (s *suite) increment(nonce string) error {
	for {
		body, v, err := s.b.Get(s.ctx, "n")
		if err != nil {
			return err
		}
		n := 0
		if _, err := fmt.Sscan(string(body), &n); err != nil {
			return err
		}
		_, err = s.b.PutIf(s.ctx, "n", fmt.Appendf(nil, "%d %s", n+1, nonce), v)
		if err == nil {
			return nil
		}
		if !errors.Is(err, objstore.ErrPrecondition) && !errors.Is(err, objstore.ErrConflict) {
			return err
		}
	}
}

// whole reads while others write: every body seen is one that was written.
func (s *suite) whole() {
	body := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 100_000+i) }
	s.put("k", string(body(0)))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 20 {
				if err := s.b.Put(s.ctx, "k", body(i)); err != nil {
					s.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 40 {
				got, _, err := s.b.Get(s.ctx, "k")
				if err != nil || len(got) < 100_000 || !bytes.Equal(got, body(int(got[0]-'a'))) {
					s.Errorf("a reader saw %d bytes that nobody wrote, error %v", len(got), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (s *suite) ranges() {
	const body = "0123456789"
	s.put("k", body)
	for _, r := range [][2]int64{{0, 10}, {0, 1}, {9, 1}, {3, 4}, {0, 0}, {10, 0}} {
		got, err := s.b.GetRange(s.ctx, "k", r[0], r[1])
		if err != nil || string(got) != body[r[0]:r[0]+r[1]] {
			s.Errorf("%d bytes at %d: %q, %v", r[1], r[0], got, err)
		}
	}
	for _, r := range [][2]int64{{0, 11}, {9, 2}, {10, 1}, {11, 1}, {1 << 40, 1}} {
		if got, err := s.b.GetRange(s.ctx, "k", r[0], r[1]); !errors.Is(err, io.ErrUnexpectedEOF) {
			s.Errorf("%d bytes at %d of 10: %q, %v, want %v", r[1], r[0], got, err, io.ErrUnexpectedEOF)
		}
	}
}

func (s *suite) list() {
	keys := []string{"a-b", "a.b", "a/b", "a/c/c", "a0", "b/x-y", "b/x/y", "b/x0", "c/d/e/f"}
	for i, k := range keys {
		s.put(k, strings.Repeat("x", i))
	}
	if s.Failed() {
		return
	}
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/c", "b/x", "b/x/", "c", "c/d/e/", "z"} {
		var got, want []string
		for o, err := range s.b.List(s.ctx, prefix) {
			if err != nil {
				s.Fatalf("list %q: %v", prefix, err)
			}
			got = append(got, fmt.Sprintf("%s %d", o.Key, o.Size))
		}
		for i, k := range keys {
			if strings.HasPrefix(k, prefix) {
				want = append(want, fmt.Sprintf("%s %d", k, i))
			}
		}
		if !slices.Equal(got, want) {
			s.Errorf("list %q:\n got %q\nwant %q", prefix, got, want)
		}
	}
	for range s.b.List(s.ctx, "") {
		break // a reader may stop early
	}
}

func (s *suite) delete() {
	v := s.putIf("a/b", "x", objstore.Absent)
	for range 2 {
		if err := s.b.Delete(s.ctx, "a/b"); err != nil {
			s.Fatalf("delete: %v", err)
		}
	}
	if _, _, err := s.b.Get(s.ctx, "a/b"); !errors.Is(err, objstore.ErrNotFound) {
		s.Errorf("get after delete: %v", err)
	}
	s.refused("a/b", v)
	s.putIf("a/b", "again", objstore.Absent)
}

func (s *suite) keys() {
	for _, key := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".hidden", "a/.b", "a\\b", "a\x00b", "a\nb", strings.Repeat("k", 1000), "\xff"} {
		err := s.b.Put(s.ctx, key, nil)
		if err == nil || sabot.KindOf(err) != sabot.Invalid {
			s.Errorf("put %q: %v, want an Invalid error", key, err)
		}
		if _, _, err := s.b.Get(s.ctx, key); err == nil || sabot.KindOf(err) != sabot.Invalid {
			s.Errorf("get %q: %v, want an Invalid error", key, err)
		}
	}
	for _, key := range []string{"a b", "ä/ö", "a=b&c?d#e%f+g", "x/" + strings.Repeat("k", 200)} {
		s.put(key, key)
		s.want(key, key)
	}
}

func (s *suite) copies() {
	body := []byte("body")
	if err := s.b.Put(s.ctx, "k", body); err != nil {
		s.Fatal(err)
	}
	body[0] = 'X'
	s.want("k", "body")
	got, _, err := s.b.Get(s.ctx, "k")
	if err != nil {
		s.Fatal(err)
	}
	got[0] = 'Y'
	s.want("k", "body")
}

func (s *suite) ended() {
	s.put("k", "x")
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, _, get := s.b.Get(ctx, "k")
	_, rng := s.b.GetRange(ctx, "k", 0, 1)
	_, putIf := s.b.PutIf(ctx, "n", nil, objstore.Absent)
	var list error
	for _, err := range s.b.List(ctx, "") {
		list = err
	}
	for name, err := range map[string]error{"get": get, "get range": rng, "put": s.b.Put(ctx, "n", nil), "put if": putIf, "list": list, "delete": s.b.Delete(ctx, "k")} {
		if !errors.Is(err, context.Canceled) {
			s.Errorf("%s with an ended context: %v, want %v", name, err, context.Canceled)
		}
	}
	s.want("k", "x")
}

func (s *suite) probe() {
	if err := objstore.Probe(s.ctx, s.b, "job/probe", "1234"); err != nil {
		s.Fatal(err)
	}
	for o, err := range s.b.List(s.ctx, "") {
		s.Errorf("a probe leaves %s, %v", o.Key, err)
	}
}
