// The bot answers messages that mention it. It talks to Parley's services over gRPC, as the
// device of an ordinary account:
//
//	signs up or logs in       SessionService
//	follows its inbox         MessageService.Follow
//	answers                   MessageService.SendMessage
//
// It may be killed at any moment and started again, and its connection may break: nothing that
// mentions it goes unanswered, and nothing is answered twice.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	messagev1 "parley.example/go/gen/parley/message/v1"
	sessionv1 "parley.example/go/gen/parley/session/v1"
)

func main() {
	address := flag.String("grpc", "127.0.0.1:50051", "where Parley's services answer")
	name := flag.String("name", "gobot", "the bot's user name")
	password := flag.String("password", "", "its password")
	signUp := flag.Bool("sign-up", false, "make the account first")
	statePath := flag.String("state", "gobot.json", "where the bot keeps its tokens and its position")
	flag.Parse()
	log.SetFlags(0)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *address, *name, *password, *signUp, *statePath); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address, name, password string, signUp bool, statePath string) error {
	link, err := grpc.NewClient(address,
		// Development only: where Parley serves TLS, credentials.NewTLS.
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// Following may be silent for hours: asks whether the other side still lives.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		// By default a link that broke some times is tried again only every two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: 5 * time.Second}),
	)
	if err != nil {
		return err
	}
	defer link.Close()

	state, err := loadState(statePath)
	if err != nil {
		return err
	}
	account := &account{sessions: sessionv1.NewSessionServiceClient(link), state: state}
	if !state.isSignedIn() {
		if err := account.signIn(ctx, name, password, signUp); err != nil {
			return err
		}
	}
	bot := &bot{
		messages: messagev1.NewMessageServiceClient(link),
		account:  account,
		state:    state,
		mention:  mentionOf(name),
	}

	for pause := firstPause; ; {
		began := time.Now()
		err := bot.follow(ctx)
		if ctx.Err() != nil || isFinal(err) {
			return err
		}
		if time.Since(began) > time.Minute {
			pause = firstPause
		}
		log.Printf("following broke off, comes back: %v", err)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, lastPause)
	}
}

const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

var reconnect = backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second}

// Half of the pause to all of it, so that a thousand bots don't come back at one moment.
func sleep(ctx context.Context, pause time.Duration) error {
	select {
	case <-time.After(pause/2 + rand.N(pause/2)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Whether coming back makes no sense: the contract of Follow says which errors those are.
func isFinal(err error) bool {
	if errors.Is(err, errSignedOut) {
		return true
	}
	switch status.Code(err) {
	case codes.Aborted, codes.InvalidArgument, codes.PermissionDenied, codes.Unimplemented:
		return true
	}
	return false
}
