package bolt

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// maxDepth is how many pages may be above a leaf: trees are never so deep.
const maxDepth = 64

// pages goes through all pages of a file without bbolt, which would follow pages that lead back
// to themselves until the process dies.
type pages struct {
	ctx  context.Context
	file io.ReaderAt
	meta meta
	seen []bool // by page
	done uint64 // how many
	// record is called with each record of a bucket.
	record func(bucket string, key, value []byte)
	// find is called with what is wrong. When it returns false, no more is looked at.
	find func(where, what string) bool
	// progress is called now and then.
	progress func(done, total int64)
	stopped  bool
}

// walk goes through the tree, and finds out whether each page is either in it or free.
func (p *pages) walk(free []uint64) error {
	p.seen = make([]bool, p.meta.high)
	p.page(p.meta.root, "", 0, nil, nil)
	p.mark(p.meta.freelist, p.pagesOf(p.meta.freelist), "the list of free pages")
	for _, id := range free {
		if !p.mark(id, 1, "the list of free pages") {
			break
		}
	}
	for id := uint64(2); id < p.meta.high && !p.stopped; id++ {
		if !p.seen[id] {
			p.fault(id, "", "nothing leads to it, and it is not free")
		}
	}
	return p.ctx.Err()
}

func (p *pages) fault(id uint64, bucket, format string, args ...any) {
	where := fmt.Sprintf("page %d", id)
	if bucket != "" {
		where += fmt.Sprintf(" of the bucket %q", bucket)
	}
	if !p.stopped && !p.find(where, fmt.Sprintf(format, args...)) {
		p.stopped = true
	}
}

// mark notes that pages have been seen, and reports whether they had not been before.
func (p *pages) mark(id, count uint64, bucket string) bool {
	if p.stopped || id < 2 || count > p.meta.high || id+count > p.meta.high {
		p.fault(id, bucket, "it is not in the file, or no page of data")
		return false
	}
	for n := id; n < id+count; n++ {
		if p.seen[n] {
			p.fault(n, bucket, "two places lead to it, or it is used and free at once")
			return false
		}
		p.seen[n] = true
	}
	if p.done += count; p.done/1024 != (p.done-count)/1024 {
		p.progress(int64(p.done), int64(p.meta.high)) // #nosec G115 -- numbers of pages, which parseMeta bounds
		if p.ctx.Err() != nil {
			p.stopped = true
		}
	}
	return true
}

// pagesOf reads over how many pages of the file a page goes.
func (p *pages) pagesOf(id uint64) uint64 {
	header := make([]byte, pageHeaderSize)
	if _, err := p.file.ReadAt(header, int64(id)*p.meta.pageSize); err != nil { // #nosec G115 -- below the number of pages, which parseMeta bounds
		return 1
	}
	return uint64(native.Uint32(header[12:])) + 1
}

// page looks at a page and what is below it. Its keys are at least low and less than high.
func (p *pages) page(id uint64, bucket string, depth int, low, high []byte) {
	if depth > maxDepth {
		p.fault(id, bucket, "it lies deeper than a page can")
		return
	}
	if id < 2 || id >= p.meta.high {
		p.fault(id, bucket, "it is not in the file, or no page of data")
		return
	}
	count := p.pagesOf(id)
	if !p.mark(id, count, bucket) {
		return
	}
	content := make([]byte, int64(count)*p.meta.pageSize)                        // #nosec G115 -- counted in pages of the file
	if _, err := p.file.ReadAt(content, int64(id)*p.meta.pageSize); err != nil { // #nosec G115 -- below the number of pages, which parseMeta bounds
		p.fault(id, bucket, "it can't be read: %v", err)
		return
	}
	if native.Uint64(content) != id {
		p.fault(id, bucket, "it says that it is page %d", native.Uint64(content))
		return
	}
	switch flags := native.Uint16(content[8:]); flags {
	case flagBranch:
		p.branch(id, content, bucket, depth, low, high)
	case flagLeaf:
		p.leaf(id, content, bucket, depth, low, high)
	default:
		p.fault(id, bucket, "it is of the kind %#x, which is none of data", flags)
	}
}

func (p *pages) branch(id uint64, content []byte, bucket string, depth int, low, high []byte) {
	count := int(native.Uint16(content[10:]))
	if count == 0 {
		p.fault(id, bucket, "it leads nowhere")
	}
	type child struct {
		key []byte
		id  uint64
	}
	var children []child
	for i := range count {
		at := pageHeaderSize + i*elementSize
		if at+elementSize > len(content) {
			p.fault(id, bucket, "its %d elements don't fit into it", count)
			return
		}
		key, ok := part(content, at, native.Uint32(content[at:]), native.Uint32(content[at+4:]))
		if !ok {
			p.fault(id, bucket, "its element %d lies outside of it", i)
			return
		}
		children = append(children, child{key, native.Uint64(content[at+8:])})
	}
	for i, c := range children {
		until := high
		if i+1 < len(children) {
			until = children[i+1].key
		}
		if !p.inOrder(id, bucket, i, c.key, low, until) {
			return
		}
		low = c.key
		p.page(c.id, bucket, depth+1, c.key, until)
		if p.stopped {
			return
		}
	}
}

func (p *pages) leaf(id uint64, content []byte, bucket string, depth int, low, high []byte) {
	count := int(native.Uint16(content[10:]))
	for i := range count {
		at := pageHeaderSize + i*elementSize
		if at+elementSize > len(content) {
			p.fault(id, bucket, "its %d elements don't fit into it", count)
			return
		}
		position, keySize, valueSize := native.Uint32(content[at+4:]), native.Uint32(content[at+8:]), native.Uint32(content[at+12:])
		key, ok := part(content, at, position, keySize)
		value, fits := part(content, at+int(keySize), position, valueSize)
		if !ok || !fits {
			p.fault(id, bucket, "its element %d lies outside of it", i)
			return
		}
		if !p.inOrder(id, bucket, i, key, low, high) {
			return
		}
		low = append(bytes.Clone(key), 0) // the least key that is greater
		switch inner := native.Uint32(content[at:])&flagBucket != 0; {
		case inner && bucket == "":
			p.bucket(id, string(key), value, depth)
		case inner || bucket == "":
			p.fault(id, bucket, "its element %d is a bucket where a record should be, or the other way round", i)
		default:
			p.record(bucket, key, value)
		}
		if p.stopped {
			return
		}
	}
}

// bucket looks at a bucket, which has a page of its own, or a small one inside of its value.
func (p *pages) bucket(id uint64, name string, value []byte, depth int) {
	if len(value) < bucketSize {
		p.fault(id, name, "its place can't be read")
		return
	}
	if root := native.Uint64(value); root != 0 {
		p.page(root, name, depth+1, nil, nil)
		return
	}
	inside := value[bucketSize:]
	if len(inside) < pageHeaderSize || native.Uint16(inside[8:]) != flagLeaf {
		p.fault(id, name, "the page inside of it is none of data")
		return
	}
	p.leaf(id, inside, name, depth+1, nil, nil)
}

// part returns what lies so far behind a place in a page.
func part(content []byte, at int, position, size uint32) ([]byte, bool) {
	from := int64(at) + int64(position)
	if from+int64(size) > int64(len(content)) {
		return nil, false
	}
	return content[from : from+int64(size)], true
}

// inOrder reports whether a key is where it should be. No limit: nil.
func (p *pages) inOrder(id uint64, bucket string, i int, key, low, high []byte) bool {
	if bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
		p.fault(id, bucket, "the key of its element %d is out of order", i)
		return false
	}
	return true
}
