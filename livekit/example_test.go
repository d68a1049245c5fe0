package livekit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// account stands for whatever speaks to your homeserver.
type account struct{}

func (account) OpenIDToken(context.Context) (json.RawMessage, error) {
	return nil, fmt.Errorf("ask the homeserver: POST /user/{userId}/openid/request_token")
}

// Who uses package client hands the Connector to it and needs none of this.
func Example() {
	connector := livekit.New(account{}, nil)
	transport := matrixrtc.Transport{
		Type: "livekit",
		Raw:  json.RawMessage(`{"type":"livekit","livekit_service_url":"https://example.org/livekit/jwt"}`),
	}
	conn, err := connector.Connect(context.Background(), media.Params{
		Transport: transport,
		Self: &matrixrtc.Membership{
			Dialect: matrixrtc.DialectCall,
			Room:    "!room:example.org", Slot: matrixrtc.RoomCall,
			User: "@me:example.org", Device: "MYDEVICE",
		},
	})
	if err != nil {
		log.Print(err)
		return
	}
	defer conn.Close()
	for event := range conn.Events() {
		switch e := event.(type) {
		case media.PeerJoined:
			fmt.Println(e.Peer.Identity, "is here")
		case media.TrackAdded:
			go func() { // ends with the track
				for {
					if _, err := e.Track.ReadRTP(); err != nil {
						return
					}
				}
			}()
		}
	}
}
