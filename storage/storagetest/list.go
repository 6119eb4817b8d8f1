package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/veilsum/veilsum/storage"
)

func (f *fixture) list(prefix, startAfter string) []string {
	f.Helper()
	var keys []string
	for info, err := range f.store.List(f.Context(), prefix, startAfter) {
		if err != nil {
			f.Fatalf("List(%q, %q): %v", prefix, startAfter, err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func (f *fixture) mustList(prefix, startAfter string, want []string) {
	f.Helper()
	if have := f.list(prefix, startAfter); !slices.Equal(have, want) {
		f.Errorf("List(%q, %q):\n%s\nwant\n%s", prefix, startAfter, summary(have), summary(want))
	}
}

func summary(keys []string) string {
	if len(keys) > 20 {
		return fmt.Sprintf("%d keys from %s to %s", len(keys), keys[0], keys[len(keys)-1])
	}
	return strings.Join(keys, "\n")
}

// selected is what List must return, by its definition.
func selected(keys []string, prefix, startAfter string) []string {
	var out []string
	for _, key := range slices.Sorted(slices.Values(keys)) {
		if strings.HasPrefix(key, prefix) && key > startAfter {
			out = append(out, key)
		}
	}
	return out
}

// listOrder has folders and objects whose names are ordered by the bytes around
// the slash: '-' and '.' come before it, '0' and 'A' after it.
func listOrder(f *fixture) {
	names := []string{
		"a/b", "a/c/d", "a-b", "a.b", "a0", "aA", "a_", "a-/x", "a./x", "a0/x/y",
		"B", "b", "_", "0", "-", "a/b-", "a/b.c", "z/z/z/z",
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "a0" }) // a0 is a folder here
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = f.key(name)
		f.put(keys[i], []byte(name), storage.Created)
	}
	for _, prefix := range []string{"", "a", "a/", "a/b", "a-", "a.", "a0", "a0/", "a0/x/y", "a0/x/y/", "z", "z/z/", "none", "b"} {
		f.mustList(f.key(prefix), "", selected(keys, f.key(prefix), ""))
		for _, after := range []string{"a", "a/", "a/b", "a/b0", "a-", "a-/x", "a.z", "a0", "a0/x/y", "-", "z/z/z/z", "zz", "a/c/e"} {
			f.mustList(f.key(prefix), f.key(after), selected(keys, f.key(prefix), f.key(after)))
		}
	}
	f.mustList(f.dir, "", selected(keys, f.dir, "")) // ends in the middle of a name
	for info, err := range f.store.List(f.Context(), f.dir, "") {
		if want := int64(len(info.Key) - len(f.key(""))); err != nil || info.Size != want || info.Modified.IsZero() {
			f.Errorf("List: %+v, %v; want size %d", info, err, want)
		}
	}
}

// listMany is more than one page of 1,000.
func listMany(f *fixture) {
	n := scale(1234, 150)
	keys := make([]string, n)
	for i := range keys {
		keys[i] = f.key(fmt.Sprintf("reports/%02x/%d", i%7, i*7919))
	}
	var group sync.WaitGroup
	for part := range slices.Chunk(keys, (n+7)/8) {
		group.Go(func() {
			for _, key := range part {
				if _, err := f.store.PutOnce(f.Context(), key, []byte(key)); err != nil {
					f.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if f.Failed() {
		return
	}
	all := selected(keys, "", "")
	f.mustList(f.key(""), "", all)
	f.mustList(f.key("reports/"), all[n/2], all[n/2+1:])
	f.mustList(f.key("reports/03/"), "", selected(keys, f.key("reports/03/"), ""))
	f.mustList(f.key("reports/"), all[n-1], nil)
	f.mustList("", all[n-1], f.list("", all[n-1])) // whatever else is there
}

// listOdd: prefix and startAfter are strings, not keys.
func listOdd(f *fixture) {
	f.put(f.key("x"), nil, storage.Created)
	f.put(f.key("y/z"), nil, storage.Created)
	keys := []string{f.key("x"), f.key("y/z")}
	odd := []string{"/", "//", "y//", "../", "..", ".", "x/../", "x\x00", "x\xff", "x y", "\xff", "ü", "y/\x7f", "y/..", strings.Repeat("w", 3000), strings.Repeat("z/", 3000)}
	for _, s := range odd {
		f.mustList(f.key(s), "", nil)
		f.mustList(f.dir, f.key(s), selected(keys, f.dir, f.key(s)))
	}
	for _, prefix := range []string{"/", "../", "..", "/etc/", ".tmp", ".tmp/", "\x00", "/" + f.dir} {
		f.mustList(prefix, "", nil)
	}
	f.mustList(f.dir, "\xff", nil)
	f.mustList(f.dir, f.dir[:4], selected(keys, f.dir, ""))
}

func listStops(f *fixture) {
	for i := range 5 {
		f.put(f.key(fmt.Sprintf("d%d/x", i)), nil, storage.Created)
	}
	seen := 0
	for range f.store.List(f.Context(), f.dir, "") {
		if seen++; seen == 2 {
			break
		}
	}
	// A listing can be walked again, and the body may use the store.
	list := f.store.List(f.Context(), f.dir, "")
	for range 2 {
		n := 0
		for info, err := range list {
			if err != nil {
				f.Fatal(err)
			}
			f.mustHold(info.Key, nil)
			n++
		}
		if n != 5 {
			f.Fatalf("listed %d of 5", n)
		}
	}
}

// listWhileWriting: what was there before shows, whatever happens beside it.
func listWhileWriting(f *fixture) {
	var before []string
	for i := range 20 {
		key := f.key(fmt.Sprintf("m/%02d/before", i))
		f.put(key, []byte("old"), storage.Created)
		before = append(before, key)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for i := range 20 {
			if _, err := f.store.PutOnce(f.Context(), f.key(fmt.Sprintf("m/%02d/new", 19-i)), []byte("new")); err != nil {
				f.Error(err)
			}
		}
	})
	for range 3 {
		have := f.list(f.key("m/"), "")
		old := slices.DeleteFunc(slices.Clone(have), func(key string) bool { return strings.HasSuffix(key, "new") })
		if !slices.IsSorted(have) || !slices.Equal(old, before) {
			f.Errorf("list beside a writer: %s", summary(have))
		}
	}
	group.Wait()
}
