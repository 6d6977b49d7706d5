package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

// Print prints an album, page by page.
var Print = refcache.Func[Album, Book]{Name: "print"}

// Album is what Print is called with.
type Album struct{ Pages int64 }

// Book is a printed album.
type Book struct {
	Pages int64   `json:"pages"`
	Grams float64 `json:"grams"`
}

// printAlbum takes 80 ms for a page and says how far it is.
func printAlbum(ctx context.Context, in Album) (Book, error) {
	for page := int64(1); page <= in.Pages; page++ {
		if err := pause(ctx, 80*time.Millisecond); err != nil {
			return Book{}, err
		}
		worker.ReportProgress(ctx, page, in.Pages, fmt.Sprintf("page %d", page))
	}
	return Book{Pages: in.Pages, Grams: 4.5 * float64(in.Pages)}, nil
}

func (s *show) tellProgress(ctx context.Context) error {
	p := s.p
	s.heading("3. A slow call, and how far it is")
	s.say("The running function reports its progress:")
	s.code(`worker.ReportProgress(ctx, page, in.Pages, fmt.Sprintf("page %d", page))`)
	s.say("Whoever has the ref_id can read it, and for how long the call still takes:")
	s.code(
		`ref, err := producer.Submit(ctx, p, Print, Album{Pages: 50})`,
		`res, err := producer.Get(ctx, p, Print, ref)  // res.Progress, res.ETA`,
		`done, err := producer.Wait(ctx, p, Print, ref)`,
	)
	ref, err := producer.Submit(ctx, p, Print, Album{Pages: 50})
	if err != nil {
		return err
	}
	started, err := s.started(ctx, ref)
	if err != nil {
		return err
	}
	res, err := producer.Get(ctx, p, Print, ref)
	if err != nil {
		return err
	}
	s.at(time.Since(started), "%s  ref_id:%s", s.status(res.Status), res.RefID)
	s.say("")
	if err := s.watchPages(ctx, ref); err != nil {
		return err
	}
	s.say("")
	done, err := producer.Wait(ctx, p, Print, ref)
	if err != nil {
		return err
	}
	return s.value(done.Value)
}

// watchPages shows how far a print is, until it ends.
func (s *show) watchPages(ctx context.Context, ref refcache.Ref) error {
	m := s.meter()
	defer m.close()
	for {
		res, err := producer.Get(ctx, s.p, Print, ref)
		switch {
		case err != nil:
			return err
		case res.IsComplete:
			m.complete()
			return nil
		case res.Status.IsFinal():
			return nil // Wait tells why
		case res.Progress != nil:
			m.show(*res.Progress, res.ETA)
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
