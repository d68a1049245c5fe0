package samples

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/media"
)

// oggOpus reads Opus packets out of Ogg (RFC 7845). Pre-skip and the cut at
// the end are for decoders that make a file of it again; a live stream sends
// every packet.
type oggOpus struct {
	packets *oggPackets
	n       int // packets read
}

// newOggOpus finds the Opus stream and reads its two headers.
func newOggOpus(r io.Reader) (*oggOpus, error) {
	first, err := findOpus(r)
	if err != nil {
		return nil, err
	}
	d := &oggOpus{packets: newOggPackets(r, first)}
	head, _, err := d.packets.next()
	if err != nil {
		return nil, ended(err, "the header of the Opus stream")
	}
	if err := checkHead(head); err != nil {
		return nil, err
	}
	tags, _, err := d.packets.next()
	if err != nil {
		return nil, ended(err, "the tags of the Opus stream")
	}
	if !bytes.HasPrefix(tags, []byte("OpusTags")) {
		return nil, fmt.Errorf("%w: the Opus stream has no tags", ErrDamaged)
	}
	return d, nil
}

// ended is for a stream that ends before it has begun.
func ended(err error, what string) error {
	if err == io.EOF {
		return damaged(err, what)
	}
	return err
}

// findOpus looks through the first pages of the streams, which come before
// everything else.
func findOpus(r io.Reader) (*oggPage, error) {
	var others []string
	for {
		p, err := readOggPage(r)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if err == io.EOF || !p.first {
			if others == nil {
				return nil, fmt.Errorf("%w: it does not begin with the start of an Ogg stream", ErrDamaged)
			}
			return nil, fmt.Errorf("%w; this file holds %s: convert it with \"ffmpeg -i IN -vn -c:a libopus -frame_duration 20 OUT.ogg\"",
				ErrFormat, strings.Join(others, " and "))
		}
		if bytes.HasPrefix(p.payload, []byte("OpusHead")) {
			return p, nil
		}
		if len(others) < 4 {
			others = append(others, oggCodec(p.payload))
		}
	}
}

func oggCodec(head []byte) string {
	for magic, name := range map[string]string{
		"\x01vorbis": "Vorbis", "\x7fFLAC": "FLAC", "Speex   ": "Speex", "\x80theora": "Theora",
		"OVP80": "VP8 in Ogg", "fishead": "a skeleton",
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return name
		}
	}
	return "an unknown codec"
}

// checkHead checks the identification header (RFC 7845, 5.1).
func checkHead(head []byte) error {
	if len(head) < 19 || !bytes.HasPrefix(head, []byte("OpusHead")) {
		return fmt.Errorf("%w: the header of the Opus stream is too short", ErrDamaged)
	}
	if version := head[8]; version&0xf0 != 0 {
		return fmt.Errorf("%w; this file is Ogg Opus of version %d, which nobody knows", ErrFormat, version)
	}
	if channels, family := head[9], head[18]; family != 0 || channels < 1 || channels > 2 {
		return fmt.Errorf("%w; this file has %d channels (mapping family %d) and a call carries one or two: convert it with \"ffmpeg -i IN -ac 2 -c:a libopus -frame_duration 20 OUT.ogg\"",
			ErrFormat, channels, family)
	}
	return nil
}

func (d *oggOpus) next() (media.Sample, error) {
	packet, whole, err := d.packets.next()
	if err != nil {
		return media.Sample{}, err
	}
	d.n++
	if !whole {
		return media.Sample{}, fmt.Errorf("%w: packet %d has more than %d bytes", ErrDamaged, d.n, maxPacket)
	}
	duration, ok := opusDuration(packet)
	if !ok {
		return media.Sample{}, fmt.Errorf("%w: packet %d is not Opus", ErrDamaged, d.n)
	}
	return media.Sample{Data: packet, Duration: duration}, nil
}

// opusDuration is how long a packet plays, by its table-of-contents byte
// (RFC 6716, 3.1 and 3.2). ok is false for what no encoder may write.
func opusDuration(packet []byte) (d time.Duration, ok bool) {
	if len(packet) == 0 {
		return 0, false
	}
	config, code := packet[0]>>3, packet[0]&3
	var frame time.Duration
	switch {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		frame = []time.Duration{10, 20, 40, 60}[config&3] * time.Millisecond
	case config < 16: // hybrid: 10, 20 ms
		frame = []time.Duration{10, 20}[config&1] * time.Millisecond
	default: // CELT: 2.5, 5, 10, 20 ms
		frame = 2500 * time.Microsecond << (config & 3)
	}
	n := time.Duration(1)
	switch code {
	case 1, 2:
		n = 2
	case 3:
		if len(packet) < 2 {
			return 0, false
		}
		n = time.Duration(packet[1] & 0x3f)
	}
	d = n * frame
	return d, n > 0 && d <= 120*time.Millisecond
}
