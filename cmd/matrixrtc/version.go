package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
)

// VersionCmd prints what the program is made of.
type VersionCmd struct {
	JSON bool `short:"j" help:"Print JSON."`
}

// Help is shown by --help.
func (*VersionCmd) Help() string {
	return `Examples:

	matrixrtc version
	matrixrtc version --json | jq -r .version`
}

// versionInfo is what version --json prints.
type versionInfo struct {
	Version  string                  `json:"version"`
	Revision string                  `json:"revision,omitempty"`
	Built    string                  `json:"revision_time,omitempty"`
	Modified bool                    `json:"modified,omitempty"`
	Go       string                  `json:"go"`
	Platform string                  `json:"platform"`
	LiveKit  string                  `json:"livekit_server"`
	Dialects []matrixrtc.DialectName `json:"dialects"`
}

// Run prints it.
func (c *VersionCmd) Run(a *app) error {
	v := readVersion()
	if c.JSON {
		return writeJSON(a.out, v)
	}
	fmt.Fprintf(a.out, "matrixrtc %s\n", v.Version)
	if v.Revision != "" {
		modified := ""
		if v.Modified {
			modified = ", with changes"
		}
		fmt.Fprintf(a.out, "revision  %s of %s%s\n", v.Revision, v.Built, modified)
	}
	names := make([]string, len(v.Dialects))
	for i, d := range v.Dialects {
		names[i] = string(d)
	}
	fmt.Fprintf(a.out, "go        %s %s\n", v.Go, v.Platform)
	fmt.Fprintf(a.out, "livekit   %s (embedded)\n", v.LiveKit)
	_, err := fmt.Fprintf(a.out, "dialects  %s\n", strings.Join(names, ", "))
	return err
}

func readVersion() versionInfo {
	v := versionInfo{
		Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, LiveKit: "(unknown)",
	}
	for _, d := range matrixrtc.DefaultDialects() {
		v.Dialects = append(v.Dialects, d.Name())
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Built = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/livekit/livekit-server" {
			v.LiveKit = dep.Version
		}
	}
	return v
}

// writeJSON writes an indented document.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
