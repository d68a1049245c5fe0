package call_test

import (
	"fmt"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/call"
)

func TestApplication(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		raw  string
		want call.Application
		show call.Intent
	}{
		{``, call.Application{}, call.Video},
		{`{"type":"m.call"}`, call.Application{}, call.Video},
		{`{"type":"m.call","m.call.intent":"audio","m.call.id":"7"}`, call.Application{Intent: call.Audio, ID: "7"}, call.Audio},
		{`{"type":"m.call","m.call.intent":"voice"}`, call.Application{Intent: call.Audio}, call.Audio},
		{`{"type":"m.call","intent":"audio"}`, call.Application{Intent: call.Audio}, call.Audio},
		{`{"type":"m.call","intent":"audio","m.call.intent":"video"}`, call.Application{Intent: call.Video}, call.Video},
		{`{"type":"m.call","m.call.intent":"hologram"}`, call.Application{Intent: "hologram"}, call.Video},
		{`{"type":"m.call","m.call.intent":7,"m.call.id":{},"M.CALL.INTENT":"audio"}`, call.Application{}, call.Video},
	} {
		app := matrixrtc.Application{Type: "m.call"}
		if c.raw != "" {
			app.Raw = []byte(c.raw)
		}
		got, err := matrixrtc.As[call.Application](app)
		if err != nil || got != c.want || got.Intent.OrVideo() != c.show {
			t.Errorf("%s: %+v shown as %s, %v", c.raw, got, got.Intent.OrVideo(), err)
		}
	}
	if _, err := matrixrtc.As[call.Application](matrixrtc.Application{Type: "org.example.chess"}); err == nil {
		t.Error("chess is no call")
	}
	if _, err := matrixrtc.As[call.Application](matrixrtc.Application{Type: "m.call", Raw: []byte(`{`)}); err == nil {
		t.Error("half an object is no application")
	}
}

func Example() {
	app := matrixrtc.Application{Type: "m.call", Raw: []byte(`{"type":"m.call","m.call.intent":"voice"}`)}
	view, err := matrixrtc.As[call.Application](app)
	fmt.Println(view.Intent, err)
	// Output: audio <nil>
}
