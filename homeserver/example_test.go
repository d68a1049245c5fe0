package homeserver_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// A login is made once and used again: a device per start would pile up in the
// user's list. Tokens that are renewed are stored, too.
func ExampleLogin() {
	ctx := context.Background()
	store := homeserver.NewStore("bot.json")
	opts := &homeserver.Options{Save: store.Save, DeviceName: "my bot"}

	creds, err := store.Load()
	var hs *homeserver.Client
	switch {
	case err == nil:
		hs, err = homeserver.Open(creds, opts)
	case errors.Is(err, homeserver.ErrNoCredentials):
		var base string
		if base, err = homeserver.Discover(ctx, "@bot:example.org", nil); err != nil {
			log.Fatal(err)
		}
		hs, err = homeserver.Login(ctx, base, homeserver.Password{User: "bot", Password: os.Getenv("BOT_PASSWORD")}, opts)
	}
	if err != nil {
		log.Fatal(err)
	}
	defer hs.Close()
	user, device := hs.Self()
	fmt.Println(user, device)
}
