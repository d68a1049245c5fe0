// Package samples reads encoded media from files, and holds two small ones of
// its own: a tone and a test picture that the demo and the tests publish.
//
// It reads Opus in Ogg and VP8 in IVF and passes the packets on as they are. It
// is no decoder, no encoder and no general Ogg library: one stream of one
// codec per file, checked as far as a publisher depends on it.
//
// The functions may be called from any goroutine. A File belongs to one
// goroutine at a time, but for Close.
package samples

import (
	"bufio"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/matrixrtc-go/matrixrtc/media"
)

// The embedded samples. make.sh makes them.
var (
	//go:embed tone.ogg
	tone []byte
	//go:embed picture.ivf
	picture []byte
)

// Errors that a caller may want to tell apart.
var (
	// ErrFormat: this is no file of a kind that we read.
	ErrFormat = errors.New("only Opus in .ogg and VP8 in .ivf can be published")
	// ErrDamaged: it is such a file, but its content cannot be trusted from
	// here on. Samples before the damage were good.
	ErrDamaged = errors.New("the file is damaged")
)

// Tone is 440 Hz as Opus, mono, 125 packets of 20 ms; in a loop it has no
// click at the seam.
func Tone(loop bool) media.Source { return embedded(tone, media.Audio, loop) }

// Picture is a moving test picture with a counter as VP8, 320x180, 45 frames
// at 15 frames a second, every 15th a key frame.
func Picture(loop bool) media.Source { return embedded(picture, media.Video, loop) }

func embedded(data []byte, kind media.Kind, loop bool) *File {
	f, err := New(bytes.NewReader(data), loop)
	if err != nil {
		return &File{kind: kind, err: err} // the tests know that this cannot be
	}
	return f
}

// Open opens an Opus .ogg or a VP8 .ivf file that is played once. What the
// file is, is told by its content. The File closes itself at its end.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening media: %w", err)
	}
	src, err := New(f, false)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	src.path, src.closer = path, f
	return src, nil
}

// decoder takes a container apart. io.EOF is a clean end.
type decoder interface {
	next() (media.Sample, error)
}

// File is a media.Source out of a container.
type File struct {
	kind   media.Kind
	codec  media.Codec
	path   string // for errors; "" if it is no file
	src    io.Reader
	closer io.Closer
	loop   bool
	dec    decoder
	err    error         // why there is nothing more
	round  time.Duration // played in this round of the loop
}

var (
	_ media.Source = (*File)(nil)
	_ io.Closer    = (*File)(nil)
)

// New reads media from r, which must be an io.Seeker at its start if it shall
// loop. The headers are read at once.
func New(r io.Reader, loop bool) (*File, error) {
	f := &File{src: r, loop: loop}
	if err := f.begin(); err != nil {
		return nil, err
	}
	return f, nil
}

// begin reads the headers at the start of the source.
func (f *File) begin() error {
	br := bufio.NewReader(f.src)
	magic, err := br.Peek(4)
	if err != nil && err != io.EOF {
		return err
	}
	switch string(magic) {
	case "OggS":
		f.holds(media.Audio, media.Opus)
		f.dec, err = newOggOpus(br)
	case "DKIF":
		f.holds(media.Video, media.VP8)
		f.dec, err = newIVF(br)
	default:
		return unknownFormat(br)
	}
	return err
}

// unknownFormat says what the file is instead, as far as its start tells.
func unknownFormat(br *bufio.Reader) error {
	start, _ := br.Peek(12)
	if len(start) == 0 {
		return fmt.Errorf("%w; this file is empty", ErrFormat)
	}
	audio, video := "ffmpeg -i IN -c:a libopus -frame_duration 20 OUT.ogg", "ffmpeg -i IN -c:v libvpx -an OUT.ivf"
	for _, known := range []struct {
		at            int
		magic         string
		name, convert string
	}{
		{0, "\x1aE\xdf\xa3", "WebM or Matroska", video},
		{4, "ftyp", "MP4", video},
		{0, "RIFF", "WAV or AVI", audio},
		{0, "fLaC", "FLAC", audio},
		{0, "ID3", "MP3", audio},
		{0, "\xff\xfb", "MP3", audio},
	} {
		if len(start) >= known.at && bytes.HasPrefix(start[known.at:], []byte(known.magic)) {
			return fmt.Errorf("%w; this file looks like %s: convert it, for example with %q", ErrFormat, known.name, known.convert)
		}
	}
	return fmt.Errorf("%w; this file is neither", ErrFormat)
}

// Kind is audio for Opus, video for VP8.
func (f *File) Kind() media.Kind { return f.kind }

// holds notes what the file holds, in the first round alone: afterwards others
// may be asking, and it is the same.
func (f *File) holds(kind media.Kind, codec media.Codec) {
	if f.dec == nil {
		f.kind, f.codec = kind, codec
	}
}

// Codec is Opus or VP8.
func (f *File) Codec() media.Codec { return f.codec }

// Purpose is Microphone for audio, Camera for video.
func (f *File) Purpose() media.Purpose {
	if f.kind == media.Video {
		return media.Camera
	}
	return media.Microphone
}

// Next returns the next sample, which is the caller's own. After the last one
// comes io.EOF, or the first one again in a loop; after an error the same
// error.
func (f *File) Next() (media.Sample, error) {
	if f.err != nil {
		return media.Sample{}, f.err
	}
	s, err := f.dec.next()
	if err == io.EOF && f.loop {
		s, err = f.again()
	}
	if err != nil {
		if err != io.EOF && f.path != "" {
			err = fmt.Errorf("reading %s: %w", f.path, err)
		}
		f.err = err
		f.Close()
		return media.Sample{}, err
	}
	f.round += s.Duration
	return s, nil
}

// again begins the next round of a loop.
func (f *File) again() (media.Sample, error) {
	if f.round <= 0 {
		// Nothing to play: a loop of it would never give its caller a rest.
		return media.Sample{}, fmt.Errorf("%w: it holds nothing to play in a loop", ErrDamaged)
	}
	f.round = 0
	seeker, ok := f.src.(io.Seeker)
	if !ok {
		return media.Sample{}, errors.New("only a file can be played in a loop, and this is a stream")
	}
	if _, err := seeker.Seek(0, io.SeekStart); err != nil {
		return media.Sample{}, err
	}
	if err := f.begin(); err != nil {
		return media.Sample{}, err
	}
	return f.dec.next()
}

// Close closes the file. It may be called from any goroutine, more than once,
// and need not be after Next has returned an error.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	if err := f.closer.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Frames reads up to limit samples of src, or all until its end if limit is 0:
// what a receiver's packets can be compared with.
func Frames(src media.Source, limit int) ([]media.Sample, error) {
	var all []media.Sample
	for limit <= 0 || len(all) < limit {
		s, err := src.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}
