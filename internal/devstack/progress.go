package devstack

import (
	"fmt"
	"io"
	"time"
)

// PrintProgress returns a function for BuildOptions.Progress that tells a
// person on w what goes on: a sentence at the start, then a line every few
// seconds. Errors of w are not reported.
func PrintProgress(w io.Writer) func(BuildProgress) {
	const every = 5 * time.Second
	var (
		begun bool
		done  = "built"
		stage BuildStage
		last  time.Duration
	)
	return func(p BuildProgress) {
		if p.Stage == BuildWaiting {
			fmt.Fprintln(w, "waiting for another process that is building the homeserver …")
			return
		}
		if p.Stage == BuildReady {
			fmt.Fprintf(w, "  the homeserver is %s (%s); the next start is a matter of seconds\n", done, p.Elapsed.Round(time.Second))
			return
		}
		if !begun && p.Stage == BuildInstalling {
			begun, done = true, "installed"
			fmt.Fprintf(w, "installing the homeserver (Synapse %s), once: about %s …\n", SynapseVersion, roughly(p.Estimate))
		}
		if !begun {
			begun = true
			fmt.Fprintf(w, "building the homeserver (Dendrite %s), once: about %s with empty caches …\n", DendriteVersion, roughly(p.Estimate))
		}
		if p.Stage == stage && p.Elapsed-last < every {
			return
		}
		first := p.Stage != stage
		stage, last = p.Stage, p.Elapsed
		switch p.Stage {
		case BuildDownloading:
			if !first {
				fmt.Fprintf(w, "  downloading: %d of at most %d modules\n", p.Done, p.Total)
			}
		case BuildCompiling:
			fmt.Fprintf(w, "  compiling: %d of %d packages\n", p.Done, p.Total)
		case BuildInstalling:
			if !first {
				fmt.Fprintf(w, "  installing: %d of %d packages\n", p.Done, p.Total)
			}
		case BuildLinking:
			fmt.Fprintln(w, "  linking")
		}
	}
}

// roughly is d in words, rounded up to half minutes.
func roughly(d time.Duration) string {
	const half = 30 * time.Second
	n := int((d + half - 1) / half)
	switch {
	case n <= 1:
		return "half a minute"
	case n == 2:
		return "a minute"
	case n%2 == 0:
		return fmt.Sprintf("%d minutes", n/2)
	}
	return fmt.Sprintf("%d½ minutes", n/2)
}
