package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// ChromiumEnv names the environment variable that points to a Chromium to be
// used instead of one on PATH.
const ChromiumEnv = "MATRIXRTC_CHROMIUM"

// ErrNoChromium: there is none on this machine.
var ErrNoChromium = errors.New("no Chromium was found")

// Chromium returns the path of a Chromium or Chrome on this machine.
func Chromium() (path string, err error) {
	if path := os.Getenv(ChromiumEnv); path != "" {
		if !usable(path) {
			return "", fmt.Errorf("%w: $%s, %s, is no program that can be run", ErrNoChromium, ChromiumEnv, path)
		}
		return path, nil
	}
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
	if runtime.GOOS == "darwin" {
		names = append(names,
			"/Applications/Chromium.app/Contents/MacOS/Chromium",
			"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: apt-get install chromium, or set %s to one", ErrNoChromium, ChromiumEnv)
}

// ChromiumFlags are the switches for a Chromium that a test drives: no window,
// nothing fetched behind the test's back. They are names without dashes and
// without a value, as chromedp.Flag(name, true) wants them.
func ChromiumFlags() []string {
	flags := []string{
		"headless", "disable-gpu", "disable-quic", "no-first-run", "no-default-browser-check",
		"disable-background-networking", "disable-component-update", "disable-sync",
		"disable-dev-shm-usage", // containers have a small /dev/shm
	}
	if os.Geteuid() == 0 {
		flags = append(flags, "no-sandbox") // Chromium refuses to run as root otherwise
	}
	return flags
}
