package devstack

import (
	"context"
	"os"
	"testing"
	"time"
)

// startTest starts a Dendrite that ends with the test.
func startTest(t *testing.T, opts *DendriteOptions) *Homeserver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if opts == nil {
		opts = &DendriteOptions{}
	}
	opts.Build = &BuildOptions{Progress: PrintProgress(os.Stderr)}
	hs, err := StartDendrite(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hs.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the homeserver's log:\n%s", hs.Logs())
		}
	})
	return hs
}

func TestRegister(t *testing.T) {
	t.Parallel()
	hs := startTest(t, nil)
	a, err := hs.Register(t.Context(), "alice", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if a.UserID != "@alice:hs.localhost" || a.DeviceID == "" || a.AccessToken == "" {
		t.Fatalf("registered %v", a)
	}
}
