package vfstest

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/internal/vfs"
)

// Goal: a program can be crashed at each of its changes, also within those that
// are durable by themselves, and everything fails from there on. Method: a
// program that replaces a file as one should; at every point the old or the new
// content is there, and once it has returned, the new.
func TestCrashAtEveryChange(t *testing.T) {
	replace := func(m *Mem) error {
		f, err := m.Create("tmp", vfs.Direct)
		if err != nil {
			return err
		}
		p := vfs.AlignedBuffer(vfs.BlockSize)
		p[0] = 'n'
		_, err = f.WriteAt(p, 0)
		return errors.Join(err, f.Truncate(1), f.Sync(), m.Rename("tmp", "f"), m.SyncDir("."))
	}
	for seed := range uint64(20) {
		points := map[string]bool{}
		for n := 1; ; n++ {
			m := NewMem()
			durableFile(t, m, "f", []byte("o"))
			c := CrashAt(m, n, func(m *Mem) *Mem { return m.Crash(seeded(seed)) })
			m.SetHook(c.Hook)
			err := replace(m)
			state := c.State()
			if state == nil {
				require.NoError(t, err)
				assert.Equal(t, 8, n, "create, write twice, truncate, sync, rename and syncdir were crashed")
				assert.Equal(t, "n", string(readFile(t, m.CrashKeepNone(), "f", vfs.Buffered)))
				break
			}
			require.ErrorIs(t, err, ErrCrashed)
			_, err = m.ReadDir(".")
			require.ErrorIs(t, err, ErrCrashed, "reads fail, too")
			points[string(readFile(t, state, "f", vfs.Buffered))] = true
		}
		assert.Subset(t, map[string]bool{"o": true, "n": true}, points)
	}
}

// Goal: questions are counted, carry what the call is about, and end with the
// hook.
func TestHookIsAsked(t *testing.T) {
	m := NewMem()
	require.NoError(t, m.MkdirAll("d"))
	before := m.Ops()
	var asked []Op
	m.SetHook(func(op Op) error {
		asked = append(asked, op)
		return nil
	})
	f := createFile(t, m, "d/a", vfs.Direct)
	write(t, f, vfs.AlignedBuffer(vfs.BlockSize), vfs.BlockSize)
	require.NoError(t, f.Truncate(5))
	require.NoError(t, m.Rename("d/a", "d/b"))
	assert.Equal(t, []Op{
		{Kind: OpCreate, Name: "d/a", N: before + 1},
		{Kind: OpWriteAt, Name: "d/a", Off: 4096, Len: 4096, N: before + 2},
		{Kind: OpWriteAt, Phase: During, Name: "d/a", Off: 4096, Len: 4096, N: before + 3},
		{Kind: OpTruncate, Name: "d/a", Off: 5, N: before + 4},
		{Kind: OpRename, Name: "d/a", To: "d/b", N: before + 5},
	}, asked)
	m.SetHook(nil)
	require.NoError(t, m.SyncDir("d"))
	assert.Len(t, asked, 5)
	assert.Equal(t, before+6, m.Ops())
	_, err := m.Open("../x", vfs.Buffered)
	require.Error(t, err)
	assert.Equal(t, before+6, m.Ops(), "a call that cannot be is not asked about")
}

// Goal: in a chain the first error decides, and later hooks are not asked.
func TestChain(t *testing.T) {
	first, second := NewFaults(Fault{Nth: 2}), NewFaults(Fault{Nth: 2, Err: ErrCrashed})
	hook := Chain(first.Hook, second.Hook)
	assert.NoError(t, hook(Op{Kind: OpSync}))
	assert.Error(t, hook(Op{Kind: OpSync}))
	assert.ErrorIs(t, hook(Op{Kind: OpSync}), ErrCrashed)
	assert.Equal(t, 1, second.Fired())
}

// Goal: everything may run beside everything, crashes included. Method: the
// race detector, and a direct write that is overtaken while it is under way.
func TestConcurrentUse(t *testing.T) {
	m := NewMem()
	m.SetHook(NewFaults().Hook)
	var group sync.WaitGroup
	for worker := range uint64(4) {
		group.Go(func() {
			name := string(rune('a' + worker))
			f, err := m.Create(name, vfs.Direct)
			if !assert.NoError(t, err) {
				return
			}
			p := vfs.AlignedBuffer(vfs.BlockSize)
			for i := range int64(50) {
				_, err := f.WriteAt(p, i*vfs.BlockSize)
				assert.NoError(t, err)
				_, err = f.ReadAt(p, 0)
				assert.NoError(t, err)
				assert.NoError(t, f.Sync())
				assert.NoError(t, m.SyncDir("."))
				m.Crash(seeded(worker)).CrashKeepAll()
				m.CrashKeepAll().CrashKeepNone()
			}
		})
	}
	group.Wait()

	f := createFile(t, m, "overtaken", vfs.Direct)
	buffered, err := m.Open("overtaken", vfs.Buffered)
	require.NoError(t, err)
	require.NoError(t, m.SyncDir("."))
	m.SetHook(func(op Op) error {
		if op.Phase == During {
			write(t, buffered, fill('2', vfs.BlockSize), 0)
			require.NoError(t, buffered.Sync())
		}
		return nil
	})
	p := vfs.AlignedBuffer(vfs.BlockSize)
	copy(p, fill('1', len(p)))
	write(t, f, p, 0)
	assert.Equal(t, fill('2', vfs.BlockSize), readFile(t, m.CrashKeepNone(), "overtaken", vfs.Buffered))
}
