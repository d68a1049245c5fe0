package client

import (
	"context"
	"log/slog"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// Options of a Client; nil gives the defaults.
type Options struct {
	// Connectors open the connections for media; of several that support a
	// transport the first is used. None: every call is membership only.
	Connectors []media.Connector
	// Logger gets what goes on, without names of secrets; nil: discard.
	Logger *slog.Logger
	// Room are the options of the rooms' computation; nil: the defaults.
	Room *matrixrtc.RoomOptions
}

// Client follows the rooms of one account.
type Client struct{}

// New starts to follow the account's rooms. Close ends it.
func New(hs Homeserver, opts *Options) *Client { panic("todo") }

// Open opens a room: waits until the homeserver has told everything about it,
// and starts its stream. ErrNotJoined if the server's first answer is over
// without it; ErrAlreadyOpen; the sync's final error.
func (c *Client) Open(ctx context.Context, room matrixrtc.RoomID) (*Room, error) { panic("todo") }

// Close leaves all calls, closes all rooms and waits until everything has
// ended. When ctx ends first, what is not yet left is abandoned: the error
// says so.
func (c *Client) Close(ctx context.Context) error { panic("todo") }
