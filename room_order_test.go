package matrixrtc

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestOrdered holds the chunked order against a sorted slice, and what was shared
// against what it was then.
func TestOrdered(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		type thing struct{ at, name int }
		compare := func(a, b *thing) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.name, b.name)) }
		when := func(x *thing) time.Time { return time.UnixMilli(int64(x.at)) }
		var o ordered[*thing]
		var want []*thing
		type shared struct {
			is  ordered[*thing]
			was []*thing
		}
		var kept []shared
		check := func(o *ordered[*thing], want []*thing) {
			t.Helper()
			if got := slices.Collect(o.all()); !slices.Equal(got, want) || o.n != len(want) {
				t.Fatalf("seed %d: %d things, want %d, or in another order", seed, len(got), len(want))
			}
			first, ok := o.first()
			if ok != (len(want) > 0) || ok && first != want[0] {
				t.Fatalf("seed %d: another is the first", seed)
			}
			for _, c := range o.chunks {
				if len(c.list) == 0 || len(c.list) > maxChunk {
					t.Fatalf("seed %d: a chunk of %d", seed, len(c.list))
				}
			}
		}
		for n := range 1500 {
			grows := n%500 < 350
			switch {
			case rnd.IntN(20) == 0:
				kept = append(kept, shared{o.share(), slices.Clone(want)})
			case grows || len(want) == 0:
				x := &thing{rnd.IntN(400), n}
				if rnd.IntN(3) == 0 {
					x.at = 400 + n // the latest, as most are
				}
				o.insert(x, when(x), compare)
				at, _ := slices.BinarySearchFunc(want, x, compare)
				want = slices.Insert(want, at, x)
			default:
				at := rnd.IntN(len(want))
				x := want[at]
				if rnd.IntN(4) == 0 {
					y := *x
					o.replace(x, &y, when(x), compare)
					want[at] = &y
					continue
				}
				o.remove(x, when(x), compare)
				want = slices.Delete(want, at, at+1)
				o.remove(x, when(x), compare) // it is not there any more
			}
			if n%50 == 0 {
				check(&o, want)
			}
		}
		check(&o, want)
		for _, k := range kept {
			check(&k.is, k.was)
		}
	}
}
