package jobs

import (
	"container/heap"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// memory is a Store that ends with the process.
type memory struct {
	mu      sync.Mutex
	version int64
	records map[string]*entry
	order   byTime
}

type entry struct {
	Record
	place int // in order
}

// Memory is a store that is lost with the process.
func Memory() Store { return &memory{records: map[string]*entry{}} }

func (m *memory) Get(_ context.Context, key string) (Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.records[key]
	if !ok {
		return Record{}, ErrNotFound
	}
	return e.copy(), nil
}

func (m *memory) Put(_ context.Context, r Record) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.records[r.Key]
	if e.version() != r.Version {
		return 0, ErrConflict
	}
	m.version++
	r.Version, r.At, r.Data = m.version, time.UnixMilli(whole(r.At)), slices.Clone(r.Data)
	if e != nil {
		e.Record = r
		heap.Fix(&m.order, e.place)
		return m.version, nil
	}
	e = &entry{Record: r}
	m.records[r.Key] = e
	heap.Push(&m.order, e)
	return m.version, nil
}

func (m *memory) Delete(_ context.Context, key string, version int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.records[key]
	if e == nil || e.Version != version {
		return ErrConflict
	}
	delete(m.records, key)
	heap.Remove(&m.order, e.place)
	return nil
}

func (m *memory) Due(_ context.Context, now time.Time, n int) ([]Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// What is due is a subtree of the heap; the earliest of it are taken off a
	// second heap, of places.
	var list []Record
	next := places{order: m.order}
	if len(m.order) > 0 {
		next.at = []int{0}
	}
	for len(next.at) > 0 && len(list) < n {
		i := heap.Pop(&next).(int)
		if m.order[i].At.After(now) {
			break
		}
		list = append(list, m.order[i].copy())
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(m.order) {
				heap.Push(&next, child)
			}
		}
	}
	return list, nil
}

func (m *memory) Next(context.Context) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.order) == 0 {
		return time.Time{}, nil
	}
	return m.order[0].At, nil
}

func (m *memory) All(_ context.Context, yield func(Record) bool) error {
	m.mu.Lock()
	list := slices.Collect(maps.Keys(m.records))
	m.mu.Unlock()
	for _, key := range list {
		m.mu.Lock()
		e, ok := m.records[key]
		var r Record
		if ok {
			r = e.copy()
		}
		m.mu.Unlock()
		if ok && !yield(r) {
			break
		}
	}
	return nil
}

func (m *memory) Close() error { return nil }

func (e *entry) version() int64 {
	if e == nil {
		return 0
	}
	return e.Version
}

func (e *entry) copy() Record {
	r := e.Record
	r.Data = slices.Clone(r.Data)
	return r
}

// byTime is a heap of entries, earliest first.
type byTime []*entry

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(a, b int) bool { return h[a].At.Before(h[b].At) }
func (h byTime) Swap(a, b int)      { h[a], h[b] = h[b], h[a]; h[a].place, h[b].place = a, b }
func (h *byTime) Push(x any)        { e := x.(*entry); e.place = len(*h); *h = append(*h, e) }
func (h *byTime) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}

// places is a heap of places in a heap.
type places struct {
	order byTime
	at    []int
}

func (p *places) Len() int           { return len(p.at) }
func (p *places) Less(a, b int) bool { return p.order.Less(p.at[a], p.at[b]) }
func (p *places) Swap(a, b int)      { p.at[a], p.at[b] = p.at[b], p.at[a] }
func (p *places) Push(x any)         { p.at = append(p.at, x.(int)) }
func (p *places) Pop() any {
	last := p.at[len(p.at)-1]
	p.at = p.at[:len(p.at)-1]
	return last
}
