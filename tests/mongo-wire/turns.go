package main

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// turns lets the messages of all connections pass one at a time, each to its answer: FerretDB
// reads, compares and writes a document in steps, which MongoDB does in one.
type turns struct {
	one      sync.Mutex
	accounts *accounts // nil where nobody has to log in
}

// serve passes on what connects to the listener, until that is closed.
func (t *turns) serve(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", socket)
		if err != nil {
			client.Close()
			continue
		}
		go t.converse(client, server)
	}
}

func (t *turns) converse(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	login := &login{accounts: t.accounts, done: t.accounts == nil}
	for {
		asked, err := readMessage(client)
		if err != nil {
			return
		}
		answer := login.answer(asked)
		if answer == nil {
			answer, err = t.ask(server, asked)
		}
		if err != nil {
			return
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

func (t *turns) ask(server net.Conn, asked []byte) ([]byte, error) {
	t.one.Lock()
	defer t.one.Unlock()
	if _, err := server.Write(asked); err != nil {
		return nil, err
	}
	return readMessage(server)
}

// readMessage reads one message of the wire protocol: its length in four bytes stands first.
func readMessage(from io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(head)
	if length < 16 || length > 48_000_000 {
		return nil, io.ErrUnexpectedEOF
	}
	message := make([]byte, length)
	copy(message, head)
	_, err := io.ReadFull(from, message[4:])
	return message, err
}
