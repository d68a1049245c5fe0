package homeserver_test

import (
	"testing"

	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// TestConformance holds a Client at a real Dendrite to what package client
// relies on.
func TestConformance(t *testing.T) {
	t.Parallel()
	conformance(t, devstacktest.Dendrite(t, nil))
}

func conformance(t *testing.T, hs *devstack.Homeserver) {
	homeservertest.Suite(t, hs.URL(), func(c *homeserver.Client) rtctest.Account { return c })
}
