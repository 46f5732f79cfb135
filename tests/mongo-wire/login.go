package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/xdg-go/scram"
	"go.mongodb.org/mongo-driver/bson"
)

const (
	opQuery   = 2004
	opMessage = 2013
	header    = 16         // bytes before what a message says
	document  = header + 5 // where the document of an opMessage begins: after flags and a section's kind
)

// free is what MongoDB answers to those who are not logged in.
var free = map[string]bool{
	"hello": true, "isMaster": true, "ismaster": true, "ping": true, "buildInfo": true,
	"buildinfo": true, "endSessions": true,
}

// accounts lets one user in, by SCRAM-SHA-256: FerretDB with SQLite knows no users.
type accounts struct {
	server *scram.Server
}

func newAccounts(user, secret string) *accounts {
	client, err := scram.SHA256.NewClient(user, secret, "")
	if err != nil {
		panic(err)
	}
	salt := make([]byte, 28)
	if _, err := rand.Read(salt); err != nil {
		panic(err)
	}
	stored := client.GetStoredCredentials(scram.KeyFactors{Salt: string(salt), Iters: 15000})
	server, err := scram.SHA256.NewServer(func(name string) (scram.StoredCredentials, error) {
		if name != user {
			return scram.StoredCredentials{}, errors.New("unknown user")
		}
		return stored, nil
	})
	if err != nil {
		panic(err)
	}
	return &accounts{server}
}

// login is how far one connection has come with it.
type login struct {
	accounts *accounts
	talk     *scram.ServerConversation
	done     bool
}

// answer is what a message gets here already; nil when FerretDB may have it.
func (l *login) answer(asked []byte) []byte {
	if l.done || code(asked) == opQuery { // an opQuery can be a greeting only
		return nil
	}
	if code(asked) != opMessage || len(asked) < document {
		return reply(asked, refusal(13, "Unauthorized", "this message requires authentication"))
	}
	command := bson.Raw(asked[document:])
	first, err := command.IndexErr(0)
	if err != nil {
		return reply(asked, refusal(13, "Unauthorized", "a command requires authentication"))
	}
	switch name := first.Key(); {
	case name == "saslStart":
		l.talk = l.accounts.server.NewConversation()
		return reply(asked, l.step(command))
	case name == "saslContinue" && l.talk != nil:
		return reply(asked, l.step(command))
	case free[name]:
		return nil
	default:
		return reply(asked, refusal(13, "Unauthorized", "command "+name+" requires authentication"))
	}
}

func (l *login) step(command bson.Raw) bson.D {
	_, payload, _ := command.Lookup("payload").BinaryOK()
	said, err := l.talk.Step(string(payload))
	if err != nil {
		l.talk = nil
		return refusal(18, "AuthenticationFailed", "Authentication failed.")
	}
	l.done = l.talk.Valid()
	return bson.D{
		{Key: "conversationId", Value: int32(1)},
		{Key: "done", Value: l.done},
		{Key: "payload", Value: []byte(said)},
		{Key: "ok", Value: 1.0},
	}
}

func refusal(number int32, name, why string) bson.D {
	return bson.D{
		{Key: "ok", Value: 0.0},
		{Key: "errmsg", Value: why},
		{Key: "code", Value: number},
		{Key: "codeName", Value: name},
	}
}

func code(message []byte) uint32 {
	return binary.LittleEndian.Uint32(message[12:])
}

func reply(asked []byte, said bson.D) []byte {
	body, err := bson.Marshal(said)
	if err != nil {
		panic(err)
	}
	message := make([]byte, document, document+len(body))
	binary.LittleEndian.PutUint32(message, uint32(document+len(body)))
	copy(message[8:], asked[4:8]) // which request this answers
	binary.LittleEndian.PutUint32(message[12:], opMessage)
	return append(message, body...)
}
