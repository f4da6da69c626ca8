package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

const (
	maxRecord = 16 << 20 // a longer record is a bad one, and is not kept in memory
	keepRaw   = 64 << 10 // of a bad record
	readAhead = 256 << 10
)

// errTooLong marks a record of more than maxRecord bytes.
var errTooLong = errors.New("the record is longer than 16 MiB")

// records cuts a text file into records: lines, or with a comma CSV records, whose quoted fields may hold line ends. A byte order mark at the
// beginning is passed over.
type records struct {
	path  string
	file  input
	comma byte // 0: lines

	buf    []byte
	from   int   // of what is not consumed yet, in buf
	offset int64 // of buf[from] in the file
	line   int64 // number of the line at offset, from 1
	eof    bool
	closed bool
}

func openRecords(ctx context.Context, path string, comma byte, offset, line int64) (*records, error) {
	f, err := openInput(ctx, path)
	if err != nil {
		return nil, err
	}
	var mark [3]byte
	if n, _ := f.ReadAt(mark[:], 0); offset == 0 && string(mark[:n]) == "\xef\xbb\xbf" {
		offset = int64(n)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s at byte %d: %w", path, offset, err)
	}
	return &records{path: path, file: f, comma: comma, offset: offset, line: line}, nil
}

// next returns the next record without its line end, and the number of its first line; it is valid until the next call. io.EOF: there is none.
// With errTooLong the record is its beginning.
func (r *records) next() (rec []byte, line int64, err error) {
	line = r.line
	scanned, search := 0, lineEnd{comma: r.comma, fresh: true}
	for {
		end := search.in(r.buf[r.from+scanned:])
		if end >= 0 && scanned+end <= maxRecord {
			return r.take(r.from + scanned + end), line, nil
		}
		scanned = len(r.buf) - r.from
		if end >= 0 || scanned > maxRecord { // decided by its length alone, and not by what happens to be read already: a restart finds the same
			return r.tooLong()
		}
		if r.eof {
			if scanned == 0 {
				return nil, line, io.EOF
			}
			if search.quoted { // the quote never closes: one bad record, up to the end of its first line
				if i := bytes.IndexByte(r.buf[r.from:], '\n'); i >= 0 {
					return r.take(r.from + i + 1), line, nil
				}
			}
			return r.take(len(r.buf)), line, nil
		}
		if err := r.fill(); err != nil {
			return nil, line, err
		}
	}
}

// lineEnd looks for the end of a record, piece by piece.
type lineEnd struct {
	comma  byte // 0: quotes mean nothing
	quoted bool // inside of quotes
	fresh  bool // a quote here opens: at the beginning of a field, or behind a closing quote, where it makes a doubled one
}

// in returns the index behind the record's line end in the next piece, -1 when it is not there. A quote inside of a field that does not begin with
// one opens nothing, so a stray one spoils its own line only.
func (s *lineEnd) in(b []byte) int {
	if !s.quoted {
		end := bytes.IndexByte(b, '\n') + 1
		if s.comma == 0 && end == 0 {
			return -1
		}
		if end > 0 && (s.comma == 0 || bytes.IndexByte(b[:end], '"') < 0) {
			return end
		}
	}
	for i, c := range b {
		switch {
		case c == '"' && s.quoted:
			s.quoted, s.fresh = false, true
		case s.quoted:
		case c == '"' && s.fresh:
			s.quoted = true
		case c == '\n':
			return i + 1
		default:
			s.fresh = c == s.comma
		}
	}
	return -1
}

// take consumes the buffer up to end, and returns it without the line end.
func (r *records) take(end int) []byte {
	rec := r.buf[r.from:end]
	r.line += int64(bytes.Count(rec, []byte{'\n'}))
	r.offset += int64(len(rec))
	r.from = end
	rec = bytes.TrimSuffix(rec, []byte{'\n'})
	return bytes.TrimSuffix(rec, []byte{'\r'})
}

// tooLong consumes the first line of a record that is too long. If that alone is not, it is the record: a quote in it does not close. Otherwise it
// returns the line's beginning.
func (r *records) tooLong() ([]byte, int64, error) {
	line := r.line
	if i := bytes.IndexByte(r.buf[r.from:r.from+maxRecord], '\n'); i >= 0 {
		return r.take(r.from + i + 1), line, nil
	}
	head := bytes.Clone(r.buf[r.from : r.from+keepRaw])
	for {
		if i := bytes.IndexByte(r.buf[r.from:], '\n'); i >= 0 {
			r.take(r.from + i + 1)
			return head, line, errTooLong
		}
		r.offset += int64(len(r.buf) - r.from)
		r.from, r.buf = 0, r.buf[:0]
		if r.eof {
			return head, line, errTooLong
		}
		if err := r.fill(); err != nil {
			return nil, line, err
		}
	}
}

// fill reads more behind what is not consumed yet.
func (r *records) fill() error {
	if r.from > 0 {
		n := copy(r.buf, r.buf[r.from:])
		r.buf, r.from = r.buf[:n], 0
	}
	if cap(r.buf)-len(r.buf) < readAhead {
		r.buf = append(make([]byte, 0, 2*cap(r.buf)+2*readAhead), r.buf...)
	}
	n, err := r.file.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	if errors.Is(err, io.EOF) {
		r.eof = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s at byte %d: %w", r.path, r.offset, err)
	}
	return nil
}

func (r *records) close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return r.file.Close()
}

// field is a field of a CSV record.
type csvField struct {
	text   []byte
	quoted bool
}

// splitCSV appends the fields of a record to dst (RFC 4180).
func splitCSV(rec []byte, comma byte, dst []csvField) ([]csvField, error) {
	for {
		if len(rec) > 0 && rec[0] == '"' {
			text, rest, err := quotedField(rec[1:])
			if err != nil {
				return nil, err
			}
			dst = append(dst, csvField{text, true})
			if len(rest) == 0 {
				return dst, nil
			}
			if rest[0] != comma {
				return nil, fmt.Errorf("field %d goes on behind its closing quote", len(dst))
			}
			rec = rest[1:]
			continue
		}
		i := bytes.IndexByte(rec, comma)
		f := rec
		if i >= 0 {
			f = rec[:i]
		}
		if bytes.IndexByte(f, '"') >= 0 {
			return nil, fmt.Errorf("field %d has a quote but does not begin with one", len(dst)+1)
		}
		dst = append(dst, csvField{f, false})
		if i < 0 {
			return dst, nil
		}
		rec = rec[i+1:]
	}
}

// quotedField returns the text up to the closing quote, with doubled quotes as one, and what comes behind.
func quotedField(b []byte) (text, rest []byte, err error) {
	i := bytes.IndexByte(b, '"')
	if i >= 0 && (i+1 == len(b) || b[i+1] != '"') {
		return b[:i], b[i+1:], nil
	}
	for i = 0; i < len(b); i++ {
		if b[i] == '"' {
			if i+1 == len(b) || b[i+1] != '"' {
				return text, b[i+1:], nil
			}
			i++
		}
		text = append(text, b[i])
	}
	return nil, nil, errors.New("a quote is not closed")
}
