package jsonscan

import "slices"

// walk notes the scalars and the wanted values of an object or an array, of which
// at is the place. It is false if a key stands twice: then a walk of a text of
// this shape yields something else than one place. Escapes were ruled out.
func (s *Shapes) walk(sh *shape, v Value, at int, keys path) bool {
	if v.Kind() == Array {
		elems := v.Elements()
		for elems.Next() {
			if !s.note(sh, elems.Value(), at+elems.pos-len(elems.value), append(keys, "")) {
				return false
			}
		}
		return true
	}
	var seen []string
	fields := v.Fields()
	for fields.Next() {
		key := string(fields.Key())
		if slices.Contains(seen, key) {
			return false
		}
		seen = append(seen, key)
		if !s.note(sh, fields.Value(), at+fields.pos-len(fields.value), append(keys, key)) {
			return false
		}
	}
	return true
}

// note takes one value in.
func (s *Shapes) note(sh *shape, v Value, at int, keys path) bool {
	if len(keys) > maxShapeDepth || len(sh.scalars) > maxScalars {
		return false
	}
	for i, p := range s.paths {
		if slices.Equal(p, keys) {
			sh.found = append(sh.found, capture{path: i, from: at, to: at + len(v)})
		}
	}
	switch v.Kind() {
	case Object, Array:
		return s.walk(sh, v, at, keys)
	case String, Number:
		sh.scalars = append(sh.scalars, scalar{from: at, to: at + len(v), fixed: keys[len(keys)-1] == s.fixed})
	}
	return true
}

// compile makes the steps. It is false if there are too many.
func (sh *shape) compile() bool {
	var steps []step
	var starts []int // of the literals
	from := 0
	for _, sc := range sh.scalars {
		if sc.variable {
			steps = append(steps, step{literal: sh.text[from:sc.from], variable: true, text: sh.text[sc.from] == '"'})
			starts = append(starts, from)
			from = sc.to
		}
	}
	if len(steps) > maxVariables {
		return false
	}
	sh.steps = append(steps, step{literal: sh.text[from:]})
	starts = append(starts, from)
	// A place is in a literal, or at one of its ends.
	place := func(at int) mark {
		i, found := slices.BinarySearch(starts, at)
		if !found {
			i--
		}
		return mark{int32(i), int32(at - starts[i])}
	}
	for i := range sh.found {
		c := &sh.found[i]
		c.first, c.last = place(c.from), place(c.to)
	}
	return true
}

// widen lets values of the shape vary so that the text is one of it. It is false
// if that cannot be.
func (sh *shape) widen(text []byte) bool {
	var newly []int
	pos, from := 0, 0
	same := func(literal []byte) bool {
		end := pos + len(literal)
		ok := end <= len(text) && string(text[pos:end]) == string(literal)
		pos = end
		return ok
	}
	for i, sc := range sh.scalars {
		if !same(sh.text[from:sc.from]) || pos >= len(text) {
			return false
		}
		from = sc.to
		end := valueEnd(text, pos)
		value := Value(text[pos:end])
		if value.Kind() != Value(sh.text[sc.from:sc.to]).Kind() {
			return false
		}
		pos = end
		switch {
		case sc.variable || string(value) == string(sh.text[sc.from:sc.to]):
		case sc.fixed:
			return false
		default:
			newly = append(newly, i)
		}
	}
	if !same(sh.text[from:]) || pos != len(text) {
		return false
	}
	for _, i := range newly {
		sh.scalars[i].variable = true
	}
	if !sh.compile() {
		for _, i := range newly {
			sh.scalars[i].variable = false
		}
		return false
	}
	return true
}
