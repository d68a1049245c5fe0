package past

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// rgb is a colour in linear light.
type rgb [3]float64

func parseColor(t *testing.T, s string) (c rgb) {
	t.Helper()
	for i := range 3 {
		v, err := strconv.ParseUint(s[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		if c[i] = float64(v) / 255; c[i] <= 0.04045 {
			c[i] /= 12.92
		} else {
			c[i] = math.Pow((c[i]+0.055)/1.055, 2.4)
		}
	}
	return c
}

type matrix [3]rgb

func (m matrix) of(c rgb) (out rgb) {
	for i, row := range m {
		out[i] = min(1, max(0, row[0]*c[0]+row[1]*c[1]+row[2]*c[2]))
	}
	return out
}

// How the colours look to people (Machado, Oliveira and Fernandes 2009, full
// strength).
var eyes = map[string]matrix{
	"most":                {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
	"those without red":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	"those without green": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
	"those without blue":  {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
}

// oklab is a space in which distances are as people see them.
func oklab(c rgb) rgb {
	cone := matrix{{0.4122214708, 0.5363325363, 0.0514459929}, {0.2119034982, 0.6806995451, 0.1073969566}, {0.0883024619, 0.2817188376, 0.6299787005}}.of(c)
	l, m, s := math.Cbrt(cone[0]), math.Cbrt(cone[1]), math.Cbrt(cone[2])
	return rgb{
		0.2104542553*l + 0.7936177850*m - 0.0040720468*s,
		1.9779984951*l - 2.4285922050*m + 0.4505937099*s,
		0.0259040371*l + 0.7827717662*m - 0.8086757660*s,
	}
}

func distance(a, b rgb) float64 {
	return math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
}

func contrast(a, b rgb) float64 {
	light := func(c rgb) float64 { return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2] + 0.05 }
	return max(light(a), light(b)) / min(light(a), light(b))
}

// TestPalette: the fates differ in colour for everybody, and stand out from the
// ground as graphics must (WCAG 2.2, 1.4.11).
func TestPalette(t *testing.T) {
	t.Parallel()
	light, dark, _ := strings.Cut(drawingCSS, "@media (prefers-color-scheme: dark)")
	for scheme, css := range map[string]string{"light": light, "dark": dark} {
		ground := parseColor(t, map[string]string{"light": "ffffff", "dark": "171c22"}[scheme])
		colors := map[string]rgb{}
		for f := range fates {
			m := regexp.MustCompile(`\.` + fateClass[f] + ` \{ color: #([0-9a-f]{6})`).FindStringSubmatch(css)
			if m == nil {
				t.Fatalf("%s: no colour for %s", scheme, fateClass[f])
			}
			c := parseColor(t, m[1])
			if n := contrast(c, ground); n < 3 {
				t.Errorf("%s: %s has a contrast of %.1f", scheme, fateClass[f], n)
			}
			for name, other := range colors {
				for who, eye := range eyes {
					if d := distance(oklab(eye.of(c)), oklab(eye.of(other))); d < 0.09 {
						t.Errorf("%s: to %s, %s and %s differ by %.3f", scheme, who, fateClass[f], name, d)
					}
				}
			}
			colors[fateClass[f]] = c
		}
	}
}
