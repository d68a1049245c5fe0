package xmatrix

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
)

// maxDepth bounds how deep values may be nested.
const maxDepth = 100

// Canonical is the canonical JSON of a JSON value (Matrix specification,
// appendices): keys sorted and no more than once, integers within ±2^53, no white
// space.
func Canonical(value []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	out, err := appendValue(nil, d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return out, nil
}

func appendValue(dst []byte, d *json.Decoder, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deep")
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, t), nil
	case string:
		return canonical.AppendString(dst, t), nil
	case json.Number:
		n, err := strconv.ParseInt(string(t), 10, 64)
		if err != nil || n > 1<<53-1 || n < -(1<<53-1) {
			return nil, fmt.Errorf("%s is not an integer that canonical JSON has", t)
		}
		return strconv.AppendInt(dst, n, 10), nil
	case json.Delim:
		if t == '[' {
			return appendArray(dst, d, depth)
		}
		return appendObject(dst, d, depth)
	}
	return nil, errors.New("not JSON")
}

func appendArray(dst []byte, d *json.Decoder, depth int) (_ []byte, err error) {
	dst = append(dst, '[')
	for first := true; d.More(); first = false {
		if !first {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(dst, d, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	return append(dst, ']'), nil
}

func appendObject(dst []byte, d *json.Decoder, depth int) ([]byte, error) {
	fields := map[string][]byte{}
	var keys []string
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string) // nothing else can stand there
		if _, twice := fields[key]; twice {
			return nil, errors.New("a key stands twice")
		}
		if fields[key], err = appendValue(nil, d, depth+1); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	slices.Sort(keys) // UTF-8 sorts as code points do
	dst = append(dst, '{')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(canonical.AppendString(dst, key), ':')
		dst = append(dst, fields[key]...)
	}
	return append(dst, '}'), nil
}
