// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// CloudWatch answers an account that asks a lot with errors, and expects it to ask
// again: so do the SDKs of AWS, and Flagger with them. Other servers are not asked again: a query that fails is a failed
// check, and the next one is an interval away.
const (
	cloudWatchAttempts = 4
	cloudWatchPause    = 100 * time.Millisecond
)

// cloudwatch asks GetMetricData of Amazon CloudWatch in the AWS query protocol,
// which every region and every imitation of it speaks: a form in, XML out.
type cloudwatch struct {
	*connection
	base *url.URL
	// identity is that of the Secret; nil is the one that the controller has.
	identity aws.CredentialsProvider
}

// connectCloudWatch asks the region's endpoint, unless there is an address, such as
// that of a VPC endpoint.
func connectCloudWatch(c *connection) (querier, error) {
	if c.Region == "" {
		return nil, fmt.Errorf("region: provider cloudwatch needs one, such as eu-west-1")
	}
	if strings.Trim(c.Region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return nil, fmt.Errorf("region: %q is none", c.Region)
	}
	base, err := c.base("https://monitoring." + c.Region + "." + awsDomain(c.Region))
	if err != nil {
		return nil, err
	}
	w := &cloudwatch{connection: c, base: base}
	if c.SecretRef == nil {
		if err := c.refuseOwnIdentity("aws", base); err != nil {
			return nil, err
		}
	} else {
		keys, err := c.keys("aws_access_key_id", "aws_secret_access_key")
		if err != nil {
			return nil, err
		}
		w.identity = credentials.NewStaticCredentialsProvider(
			keys["aws_access_key_id"], keys["aws_secret_access_key"], c.key("aws_session_token"))
	}
	return w, nil
}

func awsDomain(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

func (w *cloudwatch) Query(ctx context.Context, q renderedQuery) (float64, error) {
	form, err := cloudWatchQuery(q.text)
	if err != nil {
		return 0, err
	}
	form.Set("Action", "GetMetricData")
	form.Set("Version", "2010-08-01")
	form.Set("MaxDatapoints", "20")
	form.Set("StartTime", q.now.Add(-lookback*q.window).UTC().Format(time.RFC3339))
	form.Set("EndTime", q.now.UTC().Format(time.RFC3339))
	body := form.Encode()
	for attempt := 0; ; attempt++ {
		answer, err := w.post(ctx, body, q.now)
		if err == nil {
			return decodeCloudWatch(answer)
		}
		if attempt+1 == cloudWatchAttempts || !throttled(err) {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-w.checker.clock.After(cloudWatchPause << attempt):
		}
	}
}

// throttled reports whether the same request may do better in a moment.
func throttled(err error) bool {
	var answer statusError
	return errors.As(err, &answer) && (answer.status == http.StatusTooManyRequests || answer.status >= 500 ||
		strings.Contains(answer.why, "Rate exceeded") || strings.Contains(answer.why, "Throttling"))
}

func (w *cloudwatch) post(ctx context.Context, body string, now time.Time) ([]byte, error) {
	req, err := w.request(ctx, http.MethodPost, urlOf(w.base, "/", nil), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if err := w.sign(ctx, req, body, now); err != nil {
		return nil, err
	}
	return ask(w.client, req)
}

func (w *cloudwatch) sign(ctx context.Context, req *http.Request, body string, now time.Time) error {
	identity := w.identity
	if identity == nil {
		var err error
		if identity, err = w.checker.ambientCredentials.amazon(ctx, w.Region); err != nil {
			return err
		}
	}
	keys, err := identity.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("getting credentials for AWS: %w", err)
	}
	digest := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(ctx, keys, req, hex.EncodeToString(digest[:]), "monitoring", w.Region, now); err != nil {
		return fmt.Errorf("signing the request: %w", err)
	}
	return nil
}

// cloudWatchResult is a series; its values are the newest first.
type cloudWatchResult struct {
	ID     string   `xml:"Id"`
	Status string   `xml:"StatusCode"`
	Values []string `xml:"Values>member"`
	Texts  []string `xml:"Messages>member>Value"`
}

// decodeCloudWatch takes the newest value, as Flagger does.
func decodeCloudWatch(body []byte) (float64, error) {
	var answer struct {
		XMLName xml.Name           `xml:"GetMetricDataResponse"`
		Results []cloudWatchResult `xml:"GetMetricDataResult>MetricDataResults>member"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		return 0, errors.New("the server's answer is not from CloudWatch")
	}
	var result singleValue
	for _, series := range answer.Results {
		switch series.Status {
		case "InternalError", "Forbidden":
			return 0, fmt.Errorf("the server answered %s for %s: %s", series.Status, excerpt(series.ID), excerpt(strings.Join(series.Texts, "; ")))
		}
		if len(series.Values) == 0 {
			continue
		}
		value, err := parseNumber(series.Values[0])
		if err != nil {
			return 0, err
		}
		result.add(value)
	}
	return result.get()
}

// member is the name of an item of a list in the query protocol.
func member(list string, i int) string { return list + ".member." + strconv.Itoa(i+1) }
