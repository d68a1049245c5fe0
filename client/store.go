package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
)

// Store keeps one document: what a Client needs in order to go on in another
// process. FileStore keeps it in a file.
type Store interface {
	// Load reads the document; none is neither bytes nor an error.
	Load(ctx context.Context) ([]byte, error)
	// Save puts another in its place: whole or not at all.
	Save(ctx context.Context, document []byte) error
}

// documentVersion is the version of the documents that are written, and the
// greatest that is read.
const documentVersion = 1

// maxDocument bounds a document in bytes. Beyond it nothing is saved: the
// earlier document stays true, only more will have to be told again.
const maxDocument = 64 << 20

// envelope is the outside of a document: what is in it is as it was written, or
// is not read.
type envelope struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"` // of the bytes of Body
	Body    json.RawMessage `json:"body"`
}

// document is where an account stands between two answers of its homeserver: a
// Position, and all rooms exactly as they were then. The two are saved as one,
// so that nothing can come between them (docs/protocol.md R-SYNC-2).
type document struct {
	User     matrixrtc.UserID   `json:"user_id"`
	Device   matrixrtc.DeviceID `json:"device_id"`
	Position string             `json:"position"`
	// Rooms are matrixrtc.Snapshots, sorted by room.
	Rooms []json.RawMessage `json:"rooms,omitempty"`
}

var errTooLarge = fmt.Errorf("what is to be kept is larger than %d MiB", maxDocument>>20)

// encode writes a document.
func (d *document) encode() ([]byte, error) {
	size := len(d.Position) + 1024
	for _, room := range d.Rooms {
		size += len(room) + 1
	}
	if size > maxDocument {
		return nil, errTooLarge
	}
	// The rooms are as they were encoded: only the rest goes through the encoder.
	head, err := json.Marshal(document{User: d.User, Device: d.Device, Position: d.Position})
	if err != nil {
		return nil, err
	}
	blank := fmt.Appendf(nil, `{"version":%d,"sha256":"%0*d","body":`, documentVersion, 2*sha256.Size, 0)
	text := append(slices.Grow(blank, size), head[:len(head)-1]...)
	for i, room := range d.Rooms {
		if i == 0 {
			text = append(text, `,"rooms":[`...)
		} else {
			text = append(text, ',')
		}
		text = append(text, room...)
	}
	if len(d.Rooms) > 0 {
		text = append(text, ']')
	}
	text = append(text, '}')
	sum := sha256.Sum256(text[len(blank):])
	hex.Encode(text[bytes.LastIndexByte(blank[:len(blank)-len(`","body":`)], '"')+1:], sum[:])
	return append(text, "}\n"...), nil
}

// decodeDocument reads a document of an account.
func decodeDocument(text []byte, user matrixrtc.UserID, device matrixrtc.DeviceID) (*document, error) {
	if len(text) > maxDocument {
		return nil, errTooLarge
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, errors.New("it is damaged") // the decoder would quote it
	}
	sum := sha256.Sum256(e.Body)
	switch {
	case e.Version > documentVersion:
		return nil, fmt.Errorf("its version %d is newer than %d, the newest that this program reads", e.Version, documentVersion)
	case e.Version < 1, !bytes.Equal([]byte(e.SHA256), []byte(hex.EncodeToString(sum[:]))):
		return nil, errors.New("it is damaged")
	}
	var d document
	if err := json.Unmarshal(e.Body, &d); err != nil {
		return nil, errors.New("it is damaged")
	}
	switch {
	case d.User != user, d.Device != device:
		return nil, errors.New("it is that of another login")
	case d.Position == "":
		return nil, errors.New("it has no position")
	}
	return &d, nil
}
