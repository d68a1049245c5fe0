package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/matrixrtc-go/matrixrtc/server"
)

// A site in one's own program: configuration from a file and the environment,
// until Ctrl-C.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	cfg, warnings, err := server.Load("site.yaml", os.Environ(), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	for _, w := range warnings {
		slog.Warn(w)
	}
	site, err := server.New(cfg, &server.Options{Logger: slog.Default()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if err := site.Serve(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Everything that is wrong is said at once, with its line.
func ExampleParse() {
	_, err := server.Parse([]byte(`
listen: 8080
admin:
  listn: 127.0.0.1:8090
full_access_homeservers: example.org
`), "site.yaml")
	fmt.Println(err)
	// Output:
	// configuration: 2 problems
	//   site.yaml:4: unknown key "listn"; did you mean "listen"?
	//   site.yaml:2: listen: want address:port, such as 127.0.0.1:8080, or :8080 for every interface
}
