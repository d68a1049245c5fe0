package samples

import (
	"encoding/binary"
	"fmt"
	"io"
)

// oggPage is one page of RFC 3533: a run of segments of one logical stream. A
// packet is segments up to and with the first that is shorter than 255, and it
// may go on in the next page of its stream.
type oggPage struct {
	continued bool // begins in the middle of a packet
	first     bool // of its stream
	last      bool
	serial    uint32
	sequence  uint32
	segments  []byte // lengths
	payload   []byte
}

const (
	oggContinued = 1 << iota
	oggFirst
	oggLast
)

// readOggPage reads one page; io.EOF is a clean end. A page has at most 64 kB
// by its very form.
func readOggPage(r io.Reader) (*oggPage, error) {
	var h [27]byte
	if n, err := io.ReadFull(r, h[:]); err != nil {
		if err == io.EOF && n == 0 {
			return nil, io.EOF
		}
		return nil, damaged(err, "the header of an Ogg page")
	}
	if string(h[:4]) != "OggS" {
		return nil, fmt.Errorf("%w: an Ogg page should begin where something else is", ErrDamaged)
	}
	if h[4] != 0 {
		return nil, fmt.Errorf("%w: an Ogg page has version %d", ErrDamaged, h[4])
	}
	le := binary.LittleEndian
	p := &oggPage{
		continued: h[5]&oggContinued != 0,
		first:     h[5]&oggFirst != 0,
		last:      h[5]&oggLast != 0,
		serial:    le.Uint32(h[14:]),
		sequence:  le.Uint32(h[18:]),
		segments:  make([]byte, h[26]),
	}
	if _, err := io.ReadFull(r, p.segments); err != nil {
		return nil, damaged(err, "the header of an Ogg page")
	}
	size := 0
	for _, n := range p.segments {
		size += int(n)
	}
	p.payload = make([]byte, size)
	if _, err := io.ReadFull(r, p.payload); err != nil {
		return nil, damaged(err, "an Ogg page")
	}
	want := le.Uint32(h[22:])
	clear(h[22:26])
	if got := oggSum(oggSum(oggSum(0, h[:]), p.segments), p.payload); got != want {
		return nil, fmt.Errorf("%w: the checksum of Ogg page %d is wrong", ErrDamaged, p.sequence)
	}
	return p, nil
}

// oggSum is Ogg's CRC-32: polynomial 04c11db7, most significant bit first,
// which hash/crc32 does not do.
func oggSum(sum uint32, data []byte) uint32 {
	for _, b := range data {
		sum = sum<<8 ^ oggTable[byte(sum>>24)^b]
	}
	return sum
}

var oggTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&(1<<31) != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

// maxPacket bounds a packet that goes on over many pages. Tags may be large
// (cover pictures) and are skipped, not kept; an Opus packet has at most 61440
// bytes (RFC 7845, 6).
const maxPacket = 61440

// oggPackets reads the packets of one logical stream and skips the others.
type oggPackets struct {
	r      io.Reader
	serial uint32
	page   *oggPage // what of it is not used up yet
	seq    uint32   // of the page to come
	ended  bool     // the stream has said so
}

// newOggPackets begins with the first page of a stream.
func newOggPackets(r io.Reader, first *oggPage) *oggPackets {
	return &oggPackets{r: r, serial: first.serial, page: first, seq: first.sequence + 1, ended: first.last}
}

// next returns the next packet; io.EOF at the end of the stream. An oversized
// packet comes back as its first maxPacket bytes, with whole false.
func (o *oggPackets) next() (packet []byte, whole bool, err error) {
	whole = true
	begun := false
	for {
		if o.page == nil {
			if err := o.turn(begun); err != nil {
				return nil, false, err
			}
		}
		for len(o.page.segments) > 0 {
			n := int(o.page.segments[0])
			segment := o.page.payload[:n]
			o.page.segments, o.page.payload = o.page.segments[1:], o.page.payload[n:]
			begun = true
			if len(packet)+n > maxPacket {
				whole = false
			} else if whole {
				packet = append(packet, segment...)
			}
			if n < 255 {
				return packet, whole, nil
			}
		}
		o.page = nil
	}
}

// turn reads the stream's next page. begun says that a packet goes on in it.
func (o *oggPackets) turn(begun bool) error {
	for {
		if o.ended {
			if begun {
				return fmt.Errorf("%w: the Ogg stream ends within a packet", ErrDamaged)
			}
			return io.EOF
		}
		p, err := readOggPage(o.r)
		if err == io.EOF && begun {
			return damaged(err, "a packet")
		}
		if err != nil {
			return err
		}
		if p.serial != o.serial {
			continue
		}
		if p.sequence != o.seq {
			return fmt.Errorf("%w: Ogg page %d follows where %d should", ErrDamaged, p.sequence, o.seq)
		}
		if p.continued != begun {
			return fmt.Errorf("%w: Ogg page %d does not go on where the one before ended", ErrDamaged, p.sequence)
		}
		o.seq++
		o.ended = p.last
		o.page = p
		return nil
	}
}
