package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sessions measures a process from its start to its end, which computes the
// sessions of a file and prints them as JSON.
func (r *runner) sessions(peer bool, s shape) side {
	return func(ctx context.Context) (measured, error) {
		path, err := r.files.path(s)
		if err != nil {
			return measured{}, err
		}
		at := strconv.Itoa(atMillis)
		args := []string{r.program, "sessions", path, "--json", "--at", at}
		if peer {
			args = append(slices.Clone(r.peer), "0", "0", "sessions", path, at)
		}
		out, err := os.Create(filepath.Join(r.files.tmp, "sessions.json"))
		if err != nil {
			return measured{}, err
		}
		defer out.Close()
		cpu, err := start(ctx, out, args)
		if err != nil {
			return measured{}, err
		}
		events, err := membersOf(out.Name())
		if err != nil {
			return measured{}, fmt.Errorf("%q: %w", args, err)
		}
		return measured{perOp: float64(cpu), members: []int{len(events)}, events: events}, nil
	}
}

// peerVersion is what the peer calls itself.
func (r *runner) peerVersion(ctx context.Context) (string, error) {
	var out bytes.Buffer
	if _, err := start(ctx, &out, append(slices.Clone(r.peer), "0", "0", "version")); err != nil {
		return "", err
	}
	var name string
	return name, json.Unmarshal(out.Bytes(), &name)
}

// start runs a command to its end and returns the processor time it took.
func start(ctx context.Context, stdout io.Writer, args []string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%q: %w\n%s", args, err, strings.TrimSpace(stderr.String()))
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// membersOf reads the events of all members from the document of
// matrixrtc sessions --json, sorted.
func membersOf(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Sessions []struct {
			Members []struct {
				Event string `json:"event_id"`
			} `json:"members"`
		} `json:"sessions"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	var events []string
	for _, s := range doc.Sessions {
		for _, m := range s.Members {
			events = append(events, m.Event)
		}
	}
	slices.Sort(events)
	return events, nil
}
