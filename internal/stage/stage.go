package stage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/server"
	"github.com/matrixrtc-go/matrixrtc/server/web"
)

// Options say what to put up; nil gives the defaults.
type Options struct {
	// Build is for the homeserver, which is built once per machine.
	Build *devstack.BuildOptions
	// Listen and AdminListen are the site's listeners; "" picks free ports on
	// loopback.
	Listen, AdminListen string
	// UDPPort and TCPPort are where the SFU takes media; 0 picks free ones.
	UDPPort, TCPPort int
	// RoomName is the name of the room.
	RoomName string
	// Step is told, in plain words, what is being done.
	Step func(string)
	// Changed is told each change of the room's sessions as an onlooker sees it,
	// from one goroutine.
	Changed func(matrixrtc.Change)
	// Logger hears from the site and the clients; nil: nobody does.
	Logger *slog.Logger
}

// Stage is a running system.
type Stage struct {
	opts  Options
	hs    *devstack.Homeserver
	site  *server.Server
	board *web.Board
	room  matrixrtc.RoomID

	owner    *account // made the room, and looks on
	onlooker *onlooker

	stopSite context.CancelFunc
	siteDone chan error

	mu   sync.Mutex
	cast []*Participant
}

// Start puts everything up: the homeserver, the site, the room. ctx bounds the
// start only; Close takes it down.
func Start(ctx context.Context, opts *Options) (_ *Stage, err error) {
	s := &Stage{board: web.NewBoard(&web.Options{Site: "matrixrtc on this machine"})}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Logger == nil {
		s.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if s.opts.RoomName == "" {
		s.opts.RoomName = "Demo"
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	s.step("start the homeserver (Dendrite " + devstack.DendriteVersion + ", on loopback, with an empty database)")
	s.hs, err = devstack.StartDendrite(ctx, &devstack.DendriteOptions{Build: s.opts.Build, Logger: s.opts.Logger})
	if err != nil {
		return nil, err
	}
	s.step("start the site (SFU, authorization service, discovery, status page), in front of the homeserver: it gives what that lacks, delayed leaves")
	if err = s.startSite(ctx); err != nil {
		return nil, fmt.Errorf("start the site: %w", err)
	}
	s.step("register the users and make a room in which members may state memberships")
	if err = s.makeRoom(ctx); err != nil {
		return nil, fmt.Errorf("make the room: %w", err)
	}
	return s, nil
}

func (s *Stage) step(text string) {
	if s.opts.Step != nil {
		s.opts.Step(text)
	}
}

// freePort as a media port lets the system choose.
const freePort = -1

func (s *Stage) startSite(ctx context.Context) error {
	cfg := &server.Config{
		Listen:     orFree(s.opts.Listen),
		Admin:      server.Admin{Listen: orFree(s.opts.AdminListen)},
		Homeserver: server.Homeserver{ServerName: s.hs.ServerName(), URL: s.hs.URL()},
		Overrides:  map[string]string{s.hs.ServerName(): s.hs.URL()},
		Media: server.Media{
			Address: "127.0.0.1", Loopback: true,
			UDPPort: orPort(s.opts.UDPPort), TCPPort: orPort(s.opts.TCPPort),
		},
		GapFill: server.GapFill{Mode: server.GapFillAuto, Proxy: true, Store: server.GapFillMemory},
	}
	site, err := server.New(cfg, &server.Options{Admin: s.board.Handler(), Logger: s.opts.Logger})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- site.Serve(running) }() // Close waits for done
	select {
	case <-site.Ready():
		s.site, s.stopSite, s.siteDone = site, stop, done
		return nil
	case err := <-done:
		stop()
		return err
	case <-ctx.Done():
		stop()
		return errors.Join(ctx.Err(), <-done)
	}
}

func orFree(listen string) string {
	if listen == "" {
		return "127.0.0.1:0"
	}
	return listen
}

func orPort(port int) int {
	if port == 0 {
		return freePort
	}
	return port
}

func (s *Stage) makeRoom(ctx context.Context) (err error) {
	if s.owner, err = s.register(ctx, "director"); err != nil {
		return err
	}
	s.room, err = s.owner.hs.CreateRoom(ctx, homeserver.NewRoom{
		Name: s.opts.RoomName, Public: true, Levels: homeserver.MemberLevels(),
	})
	if err != nil {
		return err
	}
	s.onlooker, err = look(ctx, s)
	return err
}

// register makes an account whose password nobody needs to know.
func (s *Stage) register(ctx context.Context, name string) (*account, error) {
	hs, err := homeserver.Register(ctx, s.PublicURL(), homeserver.Registration{
		User: name, Password: rand.Text(),
		Device: matrixrtc.DeviceID(strings.ToUpper(name) + "_PHONE"),
	}, &homeserver.Options{Logger: s.opts.Logger})
	if err != nil {
		return nil, fmt.Errorf("register %s: %w", name, err)
	}
	return &account{hs: hs}, nil
}

// Room is the room on the stage.
func (s *Stage) Room() matrixrtc.RoomID { return s.room }

// Homeserver is the homeserver, to be stopped and restarted by tests.
func (s *Stage) Homeserver() *devstack.Homeserver { return s.hs }

// Board is what the status page shows.
func (s *Stage) Board() *web.Board { return s.board }

// PublicURL is the address of the site's public listener, which is the
// homeserver's address for clients: the site stands in front of it.
func (s *Stage) PublicURL() string { return "http://" + s.site.PublicAddr().String() }

// StatusURL is the address of the status page.
func (s *Stage) StatusURL() string { return "http://" + s.site.AdminAddr().String() + "/" }

// Transport is the LiveKit transport that the site offers.
func (s *Stage) Transport() matrixrtc.Transport {
	return matrixrtc.LiveKitTransport(s.PublicURL()+"/livekit/jwt", string(s.room))
}

// Send sends an event into the room as the one who made it.
func (s *Stage) Send(ctx context.Context, out matrixrtc.Outgoing) (matrixrtc.EventID, error) {
	return s.owner.hs.Send(ctx, s.room, out)
}

// Sessions are the sessions of the room as the onlooker computes them.
func (s *Stage) Sessions() []*matrixrtc.Session { return s.onlooker.room.Sessions() }

// Close ends the participants (those still in leave), the site and the
// homeserver, and returns when all have ended.
func (s *Stage) Close() error {
	var errs []error
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s.mu.Lock()
	cast := s.cast
	s.cast = nil
	s.mu.Unlock()
	for _, p := range cast {
		errs = append(errs, p.Close(ctx))
	}
	if s.onlooker != nil {
		errs = append(errs, s.onlooker.close(ctx))
	}
	s.board.Close()
	if s.stopSite != nil {
		s.stopSite()
		errs = append(errs, <-s.siteDone)
	}
	if s.hs != nil {
		errs = append(errs, s.hs.Close())
	}
	return errors.Join(errs...)
}

// account is a device on the stage's homeserver.
type account struct{ hs *homeserver.Client }
