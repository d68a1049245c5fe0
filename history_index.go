package matrixrtc

// pastIndex finds things by their names. A few are searched one by one, which is
// quicker than a map, cheap to go through, and costs nothing when they come and
// go.
type pastIndex[T any] struct {
	names  []string
	things []*T
	places map[string]int // once there are more than maxListed
}

// maxListed is how many things are searched one by one.
const maxListed = 12

// find returns nil if there is none of that name.
func (x *pastIndex[T]) find(name []byte) *T {
	if x.places != nil {
		if i, ok := x.places[string(name)]; ok {
			return x.things[i]
		}
		return nil
	}
	for i, n := range x.names {
		if len(n) == len(name) && n == string(name) {
			return x.things[i]
		}
	}
	return nil
}

// add takes in a thing whose name is new.
func (x *pastIndex[T]) add(name string, thing *T) {
	x.names, x.things = append(x.names, name), append(x.things, thing)
	switch n := len(x.names); {
	case x.places != nil:
		x.places[name] = n - 1
	case n > maxListed:
		x.places = make(map[string]int, 2*n)
		for i, name := range x.names {
			x.places[name] = i
		}
	}
}

// remove takes the thing at a place out; the last one takes the place.
func (x *pastIndex[T]) remove(i int) {
	last := len(x.names) - 1
	if x.places != nil {
		delete(x.places, x.names[i])
		if i < last {
			x.places[x.names[last]] = i
		}
	}
	x.names[i], x.things[i] = x.names[last], x.things[last]
	x.names[last], x.things[last] = "", nil
	x.names, x.things = x.names[:last], x.things[:last]
	if last == 0 && (x.places != nil || cap(x.names) > 2*maxListed) {
		*x = pastIndex[T]{}
	}
}
