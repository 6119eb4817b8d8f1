package faulttest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// argument says where a call names its file.
type argument struct {
	name   string
	dir    int  // index of the directory's descriptor, -1 if there is none
	path   int  // index of the path's address, -1 if fd names the file
	fd     int  // index of the file's descriptor
	write  bool // it always changes something
	opened bool // it opens: args[2] tells whether for writing
}

func pathAt(name string, dir, path int, write bool) argument {
	return argument{name: name, dir: dir, path: path, fd: -1, write: write}
}

func onFile(name string, write bool) argument {
	return argument{name: name, dir: -1, path: -1, write: write}
}

// calls are the file system calls of Go programs. fcntl is left out: Go asks it
// only for the mode of a descriptor.
var calls = map[uint64]argument{
	syscall.SYS_OPENAT:         {name: "openat", dir: 0, path: 1, fd: -1, opened: true},
	syscall.SYS_MKDIRAT:        pathAt("mkdirat", 0, 1, true),
	syscall.SYS_UNLINKAT:       pathAt("unlinkat", 0, 1, true),
	syscall.SYS_RENAMEAT:       pathAt("renameat", 2, 3, true),
	316:                        pathAt("renameat2", 2, 3, true),
	syscall.SYS_LINKAT:         pathAt("linkat", 2, 3, true),
	syscall.SYS_SYMLINKAT:      pathAt("symlinkat", 1, 2, true),
	syscall.SYS_FCHMODAT:       pathAt("fchmodat", 0, 1, true),
	syscall.SYS_NEWFSTATAT:     pathAt("newfstatat", 0, 1, false),
	syscall.SYS_READLINKAT:     pathAt("readlinkat", 0, 1, false),
	syscall.SYS_FACCESSAT:      pathAt("faccessat", 0, 1, false),
	439:                        pathAt("faccessat2", 0, 1, false),
	332:                        pathAt("statx", 0, 1, false),
	syscall.SYS_READ:           onFile("read", false),
	syscall.SYS_PREAD64:        onFile("pread64", false),
	syscall.SYS_GETDENTS64:     onFile("getdents64", false),
	syscall.SYS_FSTAT:          onFile("fstat", false),
	syscall.SYS_LSEEK:          onFile("lseek", false),
	syscall.SYS_CLOSE:          onFile("close", false),
	syscall.SYS_WRITE:          onFile("write", true),
	syscall.SYS_PWRITE64:       onFile("pwrite64", true),
	syscall.SYS_FSYNC:          onFile("fsync", true),
	syscall.SYS_FDATASYNC:      onFile("fdatasync", true),
	syscall.SYS_FTRUNCATE:      onFile("ftruncate", true),
	syscall.SYS_FCHMOD:         onFile("fchmod", true),
	syscall.SYS_FLOCK:          onFile("flock", true),
	326 /* copy_file_range */ : {name: "copy_file_range", dir: -1, path: -1, fd: 2, write: true},
}

// decode returns a file system call below the root.
func (t *tracer) decode(tid int, info *syscallInfo) (Call, bool) {
	a, ok := calls[info.nr]
	if !ok {
		return Call{}, false
	}
	var path string
	if a.path < 0 {
		path = descriptor(tid, int32(info.args[a.fd]))
	} else {
		path = text(tid, uintptr(info.args[a.path]))
		if !filepath.IsAbs(path) {
			path = filepath.Join(folder(tid, int32(info.args[a.dir])), path)
		}
	}
	rel, ok := below(t.command.Root, path)
	if !ok {
		return Call{}, false
	}
	write := a.write || a.opened && info.args[2]&(syscall.O_CREAT|syscall.O_TRUNC) != 0
	return Call{Name: a.name, Path: rel, Write: write}, true
}

// folder is what relative paths start from.
func folder(tid int, fd int32) string {
	const atCwd = -100
	if fd != atCwd {
		return descriptor(tid, fd)
	}
	dir, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", tid)) // no link: not below any root
	return dir
}

func descriptor(tid int, fd int32) string {
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, fd))
	return path
}

// text reads a path out of the program's memory.
func text(tid int, address uintptr) string {
	var all []byte
	buf := make([]byte, 256)
	for len(all) < 4096 {
		n, err := syscall.PtracePeekData(tid, address+uintptr(len(all)), buf)
		if i := bytes.IndexByte(buf[:n], 0); i >= 0 {
			return string(append(all, buf[:i]...))
		}
		if err != nil || n == 0 {
			break
		}
		all = append(all, buf[:n]...)
	}
	return ""
}
