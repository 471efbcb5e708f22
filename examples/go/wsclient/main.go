// An app's client: talks to an edge in Protobuf frames over WebSocket, as a phone does. Type
// "bob hello there" to say "hello there" to bob; what others say is printed.
//
// The order of frames and the meaning of close codes: docs/EDGE_PROTOCOL.md.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8080", "the edge")
	name := flag.String("name", "", "your user name")
	password := flag.String("password", "", "your password")
	signUp := flag.Bool("sign-up", false, "make the account first")
	flag.Parse()
	log.SetFlags(0)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	account := &account{url: *url}
	if err := account.signIn(ctx, *name, *password, *signUp); err != nil {
		log.Fatal(err)
	}
	client := newClient(account)
	go readLines(ctx, client)
	if err := stayConnected(ctx, client, account); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func readLines(ctx context.Context, client *client) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 512*1024)
	for lines.Scan() {
		to, text, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			log.Print(`type: NAME TEXT`)
		} else if err := client.say(ctx, to, text); err != nil {
			log.Printf("not sent: %v", err)
		}
	}
}

// Comes back whenever that makes sense, after pauses that grow from 1 to 30 s.
func stayConnected(ctx context.Context, client *client, account *account) error {
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		began := time.Now()
		err := client.connect(ctx)
		code := websocket.CloseStatus(err)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errSignedOut), code >= 4500:
			return fmt.Errorf("the connection is over: %w", err)
		case code == closeTokenExpired:
			if err := account.refresh(ctx); errors.Is(err, errSignedOut) {
				return err
			}
		}
		if time.Since(began) > time.Minute {
			pause = time.Second
		}
		log.Printf("not connected, comes back: %v", err)
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const closeTokenExpired websocket.StatusCode = 4005
