package exprtext

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	end    kind = iota
	word        // a name, or a word of the language
	quoted      // a name in backquotes
	number
	text
	symbol
)

type token struct {
	kind kind
	text string
	at   int // in bytes
}

func (t token) String() string {
	if t.kind == end {
		return "the end"
	}
	return fmt.Sprintf("%q", t.text)
}

func (t token) errorf(format string, args ...any) error {
	return fmt.Errorf("at %d: %s", t.at+1, fmt.Sprintf(format, args...))
}

var symbols = map[string]bool{"==": true, "!=": true, "<>": true, "<=": true, ">=": true, "=": true, "<": true, ">": true, "+": true, "-": true, "*": true,
	"/": true, "%": true, "(": true, ")": true, ",": true}

// scan divides an expression into tokens; the last one is the end.
func scan(s string) ([]token, error) {
	var out []token
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		t := token{at: i}
		switch {
		case unicode.IsSpace(r):
			i += size
			continue
		case r == '_' || unicode.IsLetter(r):
			t.kind, t.text = word, leading(s[i:], func(r rune) bool { return r == '_' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r) })
			i += len(t.text)
		case r >= '0' && r <= '9' || r == '.':
			t.kind, t.text = number, numeral(s[i:])
			i += len(t.text)
		case r == '\'' || r == '"' || r == '`':
			body, n, ok := quotation(s[i:], byte(r))
			if !ok {
				return nil, t.errorf("the quotation has no end")
			}
			if t.kind, t.text = text, body; r == '`' {
				t.kind = quoted
			}
			i += n
		default:
			t.kind, t.text = symbol, s[i:i+size]
			if i+2 <= len(s) && symbols[s[i:i+2]] {
				t.text = s[i : i+2]
			}
			if !symbols[t.text] {
				return nil, t.errorf("%q means nothing here", t.text)
			}
			i += len(t.text)
		}
		out = append(out, t)
	}
	return append(out, token{at: len(s)}), nil
}

func leading(s string, ok func(rune) bool) string {
	if i := strings.IndexFunc(s, func(r rune) bool { return !ok(r) }); i >= 0 {
		return s[:i]
	}
	return s
}

// numeral returns the digits, point and exponent that s begins with.
func numeral(s string) string {
	for i := range len(s) {
		c := s[i]
		sign := (c == '+' || c == '-') && i > 0 && (s[i-1] == 'e' || s[i-1] == 'E')
		if !sign && (c < '0' || c > '9') && c != '.' && c != 'e' && c != 'E' {
			return s[:i]
		}
	}
	return s
}

// quotation returns what stands in quotes at the beginning of s, and how long it is there.
func quotation(s string, quote byte) (body string, n int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != quote {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == quote {
			b.WriteByte(quote)
			i++
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}
