package throttle

import "container/list"

// LRU is a map of bounded size that forgets what was used longest ago. It is not
// safe for concurrent use.
type LRU[K comparable, V any] struct {
	most  int
	items map[K]*list.Element
	order *list.List // most recently used first
}

type item[K comparable, V any] struct {
	key   K
	value V
}

// NewLRU makes one that holds so many items at most.
func NewLRU[K comparable, V any](most int) *LRU[K, V] {
	return &LRU[K, V]{most: most, items: make(map[K]*list.Element), order: list.New()}
}

// Get returns what is kept under a key, and counts as its use.
func (c *LRU[K, V]) Get(key K) (value V, ok bool) {
	e, ok := c.items[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*item[K, V]).value, true
}

// Put keeps a value.
func (c *LRU[K, V]) Put(key K, value V) {
	if e, ok := c.items[key]; ok {
		e.Value.(*item[K, V]).value = value
		c.order.MoveToFront(e)
		return
	}
	c.items[key] = c.order.PushFront(&item[K, V]{key, value})
	for len(c.items) > c.most {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.items, last.Value.(*item[K, V]).key)
	}
}

// Remove forgets a key.
func (c *LRU[K, V]) Remove(key K) {
	if e, ok := c.items[key]; ok {
		c.order.Remove(e)
		delete(c.items, key)
	}
}

// Len is how many items there are.
func (c *LRU[K, V]) Len() int { return len(c.items) }
