package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The peer: a script of ours that calls matrix-js-sdk, and the exact versions
// of what it needs. Nothing of theirs is in this repository.
//
//go:embed peer/package.json peer/package-lock.json peer/peer.mjs
var peerFiles embed.FS

const (
	peerScript = "peer.mjs"
	// minNode is the oldest Node that this matrix-js-sdk supports.
	minNode = 22
)

// errNoNode says how to get what is missing.
var errNoNode = fmt.Errorf(`the peer needs npm, and Node %d or later: "apt-get install npm" or nodejs.org brings npm; if that Node is older, a newer one is installed beside the peer. Our side alone: go test -bench . ./bench`, minNode)

// installPeer installs the peer into the user's cache, once for each version of
// it, and returns the command that runs it. node is the Node to take; "" looks
// for one.
func installPeer(ctx context.Context, node string, progress io.Writer) ([]string, error) {
	if node != "" {
		if v := nodeVersion(ctx, node); v < minNode {
			return nil, fmt.Errorf("%s is not Node %d or later", node, minNode)
		}
	} else if path, err := exec.LookPath("node"); err == nil && nodeVersion(ctx, path) >= minNode {
		node = path
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("%w; set HOME or XDG_CACHE_HOME", err)
	}
	hash, err := peerHash(node == "")
	if err != nil {
		return nil, err
	}
	home := filepath.Join(cache, "matrixrtc", "bench-peer-"+hash)
	if _, err := os.Stat(home); errors.Is(err, fs.ErrNotExist) {
		if err := npmInstall(ctx, home, node == "", progress); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	if node == "" {
		found, err := filepath.Glob(filepath.Join(home, "node_modules", "node-*", "bin", "node*"))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("there is no package of Node for this system: %w", errNoNode)
		}
		node = found[0]
	}
	return []string{node, filepath.Join(home, peerScript)}, nil
}

// peerHash names an installation by all that went into it.
func peerHash(withNode bool) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, withNode)
	err := eachPeerFile(func(name string, text []byte) error {
		fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
		return nil
	})
	return hex.EncodeToString(h.Sum(nil))[:12], err
}

func eachPeerFile(do func(name string, text []byte) error) error {
	entries, err := peerFiles.ReadDir("peer")
	if err != nil {
		return err
	}
	for _, e := range entries {
		text, err := peerFiles.ReadFile("peer/" + e.Name())
		if err != nil {
			return err
		}
		if err := do(e.Name(), text); err != nil {
			return err
		}
	}
	return nil
}

// npmInstall installs beside home and renames, so that home is whole or not
// there.
func npmInstall(ctx context.Context, home string, withNode bool, progress io.Writer) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errNoNode
	}
	fmt.Fprintln(progress, "installing the peer into", home)
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(home), filepath.Base(home)+".tmp*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	err = eachPeerFile(func(name string, text []byte) error {
		return os.WriteFile(filepath.Join(dir, name), text, 0o644)
	})
	if err != nil {
		return err
	}
	args := []string{"ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"}
	if !withNode {
		args = append(args, "--omit=optional")
	}
	cmd := exec.CommandContext(ctx, npm, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, progress, progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm ci: %w; it needs a network and npm's registry", err)
	}
	return os.Rename(dir, home)
}

var nodeMajor = regexp.MustCompile(`^v([0-9]+)\.`)

// nodeVersion is the major version of a Node, 0 if it is none.
func nodeVersion(ctx context.Context, node string) int {
	out, err := exec.CommandContext(ctx, node, "--version").Output()
	if err != nil {
		return 0
	}
	m := nodeMajor.FindStringSubmatch(string(out))
	if m == nil {
		return 0
	}
	v, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return v
}

// buildProgram builds matrixrtc as make build does.
func buildProgram(ctx context.Context, dir string, progress io.Writer) (string, error) {
	path := filepath.Join(dir, "matrixrtc")
	fmt.Fprintln(progress, "building matrixrtc")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/matrixrtc-go/matrixrtc/cmd/matrixrtc")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, strings.TrimSpace(said.String()))
	}
	return path, nil
}
