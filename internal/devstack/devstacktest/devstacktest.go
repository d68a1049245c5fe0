// Package devstacktest starts what internal/devstack has, each for one test: it
// skips the test where the machine lacks something, ends with the test, and shows
// its log if the test has failed. A connection to Redis that fails is here too. It
// is imported by tests only, and its functions are called from the goroutine of the
// test.
package devstacktest

import (
	"errors"
	"os"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
)

// Dendrite starts a Dendrite. The first run on a machine builds it. opts may be nil.
func Dendrite(t testing.TB, opts *devstack.DendriteOptions) *devstack.Homeserver {
	t.Helper()
	o := devstack.DendriteOptions{}
	if opts != nil {
		o = *opts
	}
	o.Build = build()
	hs, err := devstack.StartDendrite(t.Context(), &o)
	Need(t, err)
	endWith(t, "Dendrite", hs)
	return hs
}

// Synapse starts a Synapse. The first run on a machine installs it. opts may be nil.
func Synapse(t testing.TB, opts *devstack.SynapseOptions) *devstack.Homeserver {
	t.Helper()
	o := devstack.SynapseOptions{}
	if opts != nil {
		o = *opts
	}
	o.Build = build()
	hs, err := devstack.StartSynapse(t.Context(), &o)
	Need(t, err)
	endWith(t, "Synapse", hs)
	return hs
}

// Redis starts a Redis. opts may be nil.
func Redis(t testing.TB, opts *devstack.RedisOptions) *devstack.Redis {
	t.Helper()
	r, err := devstack.StartRedis(t.Context(), opts)
	Need(t, err)
	endWith(t, "Redis", r)
	return r
}

// build tells of a build at once: it takes minutes, and the log of a test comes at
// its end.
func build() *devstack.BuildOptions {
	return &devstack.BuildOptions{Progress: devstack.PrintProgress(os.Stderr)}
}

func endWith(t testing.TB, name string, part interface {
	Close() error
	Logs() string
}) {
	t.Cleanup(func() {
		if err := part.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the log of %s:\n%s", name, part.Logs())
		}
	})
}

// Need ends the test if err, of starting something in devstack, is not nil: skipped
// where this machine lacks what it is made of, failed otherwise.
func Need(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, devstack.ErrNoRedis):
		t.Skipf("needs Redis: apt-get install redis-server, or set %s to a redis-server", devstack.RedisEnv)
	case errors.Is(err, devstack.ErrNoGo):
		t.Skipf("needs Dendrite: run once online with Go on PATH, or set %s to a dendrite binary (%v)", devstack.DendriteEnv, err)
	case errors.Is(err, devstack.ErrNoPython):
		t.Skipf("needs Synapse: run once online on Linux with python3 and its module venv (apt-get install python3-venv), or set %s to an installed one (%v)",
			devstack.SynapseEnv, err)
	case errors.Is(err, devstack.ErrDownload):
		t.Skipf("needs a homeserver: run once online, or set %s and %s to those that there are (%v)", devstack.DendriteEnv, devstack.SynapseEnv, err)
	case err != nil:
		t.Fatal(err)
	}
}
