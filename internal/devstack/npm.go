package devstack

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNoNPM: there is no npm command, which brings packages from where it is
// configured to.
var ErrNoNPM = errors.New("npm was not found")

// Package is one exact version of a package of npm.
type Package struct {
	Name, Version string
	// SHA512 is of the tarball, in standard base64 with padding: what npm calls
	// its integrity, without "sha512-".
	SHA512 string
}

// What tests take from npm. Nothing of it is in this repository.
var (
	// ElementCall is the build of Element Call for embedding.
	ElementCall = Package{"@element-hq/element-call-embedded", "0.26.1",
		"0zAC8Qh+xNLTqiC7yiosu2NQ7Fw36xR7Gimgmp2WZjTbiPf8b7DmYOBZk0sWFzYbrHHZTeB2wWPDmS3TgYq51g=="}
	// WidgetAPI is the host's side of widgets.
	WidgetAPI = Package{"matrix-widget-api", "1.19.0",
		"Qe7L6G1mQJphBC47/Bzp5ljPIK1UARgLiuGgS+/KmEs/eaNHkQ3+ArD0/0kvMV+d6kCGAZ9OKRqsnuPjizI+tw=="}
)

// maxPackage bounds what a package may hold, unpacked.
const maxPackage = 256 << 20

// Fetch returns the directory of the unpacked package, and brings it first if
// the user's cache does not hold it. Nothing of it is run. Two processes that do
// it at the same time wait for each other.
func (p Package) Fetch(ctx context.Context) (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w; set HOME or XDG_CACHE_HOME", ErrCache, err)
	}
	name := strings.NewReplacer("@", "", "/", "-").Replace(p.Name)
	home := filepath.Join(user, "matrixrtc", "npm-"+name+"-"+p.Version)
	if isDir(home) {
		return home, nil
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return "", fmt.Errorf("%w: %w", ErrCache, err)
	}
	unlock, err := lockFile(ctx, home+".lock", func() {})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrCache, err)
	}
	defer unlock()
	if isDir(home) {
		return home, nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("%w: apt-get install npm", ErrNoNPM)
	}
	dir, err := os.MkdirTemp(filepath.Dir(home), filepath.Base(home)+".tmp*")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrCache, err)
	}
	defer os.RemoveAll(dir)
	if err := p.unpack(ctx, npm, dir); err != nil {
		return "", fmt.Errorf("bring %s %s: %w", p.Name, p.Version, err)
	}
	if err := os.Rename(filepath.Join(dir, "package"), home); err != nil {
		return "", fmt.Errorf("%w: %w", ErrCache, err)
	}
	return home, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// unpack brings the tarball into dir, holds it against its sum and unpacks it.
func (p Package) unpack(ctx context.Context, npm, dir string) error {
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "--ignore-scripts", p.Name+"@"+p.Version)
	cmd.Dir = dir
	words := newTail(4 << 10)
	cmd.Stderr = words
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm pack: %w; it needs a network: %s", err, lastLines(words.String(), 4))
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("npm pack left %d tarballs", len(found))
	}
	if err := p.verify(found[0]); err != nil {
		return err
	}
	f, err := os.Open(found[0])
	if err != nil {
		return err
	}
	defer f.Close()
	return untar(f, dir)
}

func (p Package) verify(tarball string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha512.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != p.SHA512 {
		return fmt.Errorf("its sum is %s, not %s: what npm brought is something else", got, p.SHA512)
	}
	return nil
}

// untar unpacks the plain files of a compressed tarball below dir.
func untar(r io.Reader, dir string) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := int64(maxPackage)
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case h.Typeflag != tar.TypeReg:
			continue
		}
		if left -= h.Size; left < 0 {
			return fmt.Errorf("it is larger than %d MiB", maxPackage>>20)
		}
		name := filepath.FromSlash(h.Name)
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, t); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
}
