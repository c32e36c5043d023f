// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"sync"
	"testing"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// recordings are the protocols by provider.
func recordings(t testing.TB) map[string]recording {
	return map[string]recording{
		"prometheus": {
			secret: map[string]string{"token": "s3cret-token"},
			query:  `errors{ns="{{ namespace }}"}[{{ interval }}]`,
			request: `GET /api/v1/query
  query=errors{ns="staging"}[1m]
Authorization: Bearer s3cret-token
`,
			headers: []string{"Authorization"},
			value:   `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1700000000.1,"42.5"]}]}}`,
			empty: []string{
				`{"status":"success","data":{"resultType":"vector","result":[]}}`,
				`{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"NaN"]}]}}`,
				`{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}`,
			},
			several:  `{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"50"]},{"value":[1,"100"]}]}}`,
			failure:  `{"status":"error","errorType":"bad_data","error":"no such thing"}`,
			optional: true,
		},
		"datadog": {
			secret: map[string]string{"datadog_api_key": "api-s3cret", "datadog_application_key": "app-s3cret"},
			query:  `avg:errors{namespace:{{ namespace }}}`,
			request: `GET /api/v1/query
  from=1699999400
  query=avg:errors{namespace:staging}
  to=1700000000
DD-API-KEY: api-s3cret
DD-APPLICATION-KEY: app-s3cret
`,
			headers: []string{"DD-API-KEY", "DD-APPLICATION-KEY"},
			value: `{"status":"ok","series":[{"interval":20,"pointlist":[[1699999400000,7],[1699999960000,42.5],[1699999980000,null],
				[1699999990000,99]]}],"query":"avg:errors"}`,
			empty: []string{
				`{"status":"ok","series":[]}`,
				`{"status":"ok","series":[{"pointlist":[]}]}`,
				`{"status":"ok","series":[{"interval":20,"pointlist":[[1699999960000,null]]}]}`,
				`{"status":"ok","series":[{"interval":20,"pointlist":[[1699999990000,3]]}]}`,
			},
			several: `{"series":[{"pointlist":[[1,1]]},{"pointlist":[[1,2]]}]}`,
			failure: `{"errors":["no such thing"]}`,
		},
		"cloudwatch": {
			spec: flaggerv1.MetricTemplateProvider{Region: "eu-west-1"},
			secret: map[string]string{
				"aws_access_key_id":     "AKIAEXAMPLE",
				"aws_secret_access_key": "aws-s3cret",
				"aws_session_token":     "session-s3cret",
			},
			query: `[{"Id": "e1", "Expression": "m1 * 2", "Label": "errors"},
				{"Id": "m1", "ReturnData": false, "MetricStat": {"Period": 60, "Stat": "Sum", "Unit": "Count", "Metric": {
				"Namespace": "apps", "MetricName": "errors", "Dimensions": [{"Name": "app", "Value": "{{ target }}"}]}}}]`,
			request: `POST /
X-Amz-Date: 20231114T221320Z
X-Amz-Security-Token: session-s3cret
  Action=GetMetricData
  EndTime=2023-11-14T22:13:20Z
  MaxDatapoints=20
  MetricDataQueries.member.1.Expression=m1 * 2
  MetricDataQueries.member.1.Id=e1
  MetricDataQueries.member.1.Label=errors
  MetricDataQueries.member.2.Id=m1
  MetricDataQueries.member.2.MetricStat.Metric.Dimensions.member.1.Name=app
  MetricDataQueries.member.2.MetricStat.Metric.Dimensions.member.1.Value=podinfo
  MetricDataQueries.member.2.MetricStat.Metric.MetricName=errors
  MetricDataQueries.member.2.MetricStat.Metric.Namespace=apps
  MetricDataQueries.member.2.MetricStat.Period=60
  MetricDataQueries.member.2.MetricStat.Stat=Sum
  MetricDataQueries.member.2.MetricStat.Unit=Count
  MetricDataQueries.member.2.ReturnData=false
  StartTime=2023-11-14T22:03:20Z
  Version=2010-08-01
`,
			headers: []string{"X-Amz-Date", "X-Amz-Security-Token"},
			value: cloudWatchAnswer(`<member><Id>e1</Id><StatusCode>Complete</StatusCode><Values><member>42.5</member>` +
				`<member>7</member></Values></member>`),
			empty: []string{
				cloudWatchAnswer(``),
				cloudWatchAnswer(`<member><Id>e1</Id><StatusCode>Complete</StatusCode><Values/></member>`),
				cloudWatchAnswer(`<member><Id>e1</Id><Values><member>NaN</member></Values></member>`),
			},
			several: cloudWatchAnswer(`<member><Values><member>1</member></Values></member><member><Values><member>2</member></Values></member>`),
			failure: `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>no such ` +
				`thing</Message></Error></ErrorResponse>`,
			optional: true,
		},
		"newrelic": {
			secret: map[string]string{"newrelic_account_id": "51312", "newrelic_query_key": "query-s3cret"},
			query:  "SELECT filter(sum(errors)) FROM Metric WHERE app = '{{ target }}'",
			request: `GET /v1/accounts/51312/query
  nrql=SELECT filter(sum(errors)) FROM Metric WHERE app = 'podinfo' SINCE 60 seconds ago
X-Query-Key: query-s3cret
`,
			headers: []string{"X-Query-Key"},
			value:   `{"results":[{"result":42.5}]}`,
			empty:   []string{`{"results":[]}`, `{"results":[{"result":null}]}`, `{"results":[{}]}`},
			several: `{"results":[{"result":1},{"result":2}]}`,
			failure: `{"error":{"title":"no such thing"}}`,
		},
		"graphite": {
			secret: map[string]string{"username": "grace", "password": "s3cret-word"},
			query:  "target=sumSeries(\n  app.{{ target }}.*)\n&from=-2min",
			request: `GET /render
  format=json
  from=-2min
  target=sumSeries( app.podinfo.*) 
Authorization: Basic Z3JhY2U6czNjcmV0LXdvcmQ=
`,
			headers:  []string{"Authorization"},
			value:    `[{"target":"a","datapoints":[[10,1],["42.5",2],[null,3]]},{"target":"b","datapoints":[[null,1]]}]`,
			empty:    []string{`[]`, `[{"target":"a","datapoints":[]}]`, `[{"target":"a","datapoints":[[null,1],[null,2]]}]`},
			several:  `[{"datapoints":[[1,1]]},{"datapoints":[[2,1]]}]`,
			failure:  `no such thing`,
			optional: true, opaque: true,
		},
		"influxdb": {
			secret: map[string]string{"token": "s3cret-token", "org": "sales"},
			query:  `from(bucket: "default") |> range(start: -{{ interval }}) |> count()`,
			request: `POST /api/v2/query
  org=sales
Authorization: Token s3cret-token
{"dialect":{"annotations":["datatype","group","default"],"header":true},` +
				`"query":"from(bucket: \"default\") |\u003e range(start: -1m) |\u003e count()","type":"flux"}
`,
			headers: []string{"Authorization"},
			value:   fluxAnswerOf(",_result,0,42.5", ",_result,0,7"),
			empty: []string{
				"\r\n", fluxAnswerOf(), fluxAnswerOf(",_result,0,"), fluxAnswerOf(",_result,0,NaN"),
			},
			several:  fluxAnswerOf(",_result,0,1", ",_result,1,2"),
			failure:  `{"code":"invalid","message":"no such thing"}`,
			optional: true,
		},
		"dynatrace": {
			secret: map[string]string{"dynatrace_token": "s3cret-token"},
			query:  `builtin:service.errors:filter(eq(app,{{ target }}))`,
			request: `GET /api/v2/metrics/query
  from=1699999400000
  metricSelector=builtin:service.errors:filter(eq(app,podinfo))
  resolution=Inf
  to=1700000000000
Authorization: Api-Token s3cret-token
`,
			headers: []string{"Authorization"},
			value:   `{"totalCount":1,"result":[{"metricId":"x","data":[{"dimensions":["a"],"timestamps":[1],"values":[42.5]}]}]}`,
			empty: []string{
				`{"result":[]}`,
				`{"result":[{"data":[]}]}`,
				`{"result":[{"data":[{"values":[]}]}]}`,
				`{"result":[{"data":[{"values":[null]}]}]}`,
			},
			several: `{"result":[{"data":[{"values":[1]},{"values":[2]}]}]}`,
			failure: `{"error":{"code":400,"message":"no such thing"}}`,
		},
		"stackdriver": {
			secret: map[string]string{"project": "my-project", "serviceAccountKey": serviceAccount(t)},
			query:  `fetch k8s_container | align delta({{ interval }})`,
			request: `POST /v3/projects/my-project/timeSeries:query
Authorization: Bearer google-token
{"query":"fetch k8s_container | align delta(1m)"}
`,
			headers: []string{"Authorization"},
			value:   `{"timeSeriesData":[{"pointData":[{"values":[{"doubleValue":42.5}]},{"values":[{"doubleValue":7}]}]}]}`,
			empty: []string{
				`{}`, `{"timeSeriesData":[]}`, `{"timeSeriesData":[{"pointData":[]}]}`,
				`{"timeSeriesData":[{"pointData":[{"values":[]}]}]}`, `{"timeSeriesData":[{"pointData":[{"values":[{"doubleValue":"NaN"}]}]}]}`,
			},
			several: `{"timeSeriesData":[{"pointData":[{"values":[{"doubleValue":1}]}]},{"pointData":[{"values":[{"int64Value":"2"}]}]}]}`,
			failure: `{"error":{"code":400,"message":"no such thing","status":"INVALID_ARGUMENT"}}`,
		},
		"splunk": {
			secret: map[string]string{"sf_token_key": "s3cret-token"},
			query:  `data('errors', filter=filter('app', '{{ target }}')).sum().publish()`,
			request: `POST /v2/signalflow/execute
  immediate=true
  start=1699999400000
  stop=1700000000000
X-SF-Token: s3cret-token
Content-Type: text/plain
data('errors', filter=filter('app', 'podinfo')).sum().publish()
`,
			headers: []string{"X-SF-Token", "Content-Type"},
			value: "event: control-message\ndata: {\"event\":\"STREAM_START\",\"timestampMs\":1}\n\n" +
				"event: metadata\ndata: {\"tsId\":\"A\",\"properties\":{}}\n\n" +
				"event: data\ndata: {\ndata:   \"data\": [{\"tsId\":\"A\",\"value\":7}],\ndata:   \"logicalTimestampMs\": 1}\n\n" +
				"event: data\ndata: {\"data\":[{\"tsId\":\"A\",\"value\":42.5},{\"tsId\":\"B\",\"value\":null}]}\n\n" +
				"event: control-message\ndata: {\"event\":\"END_OF_CHANNEL\"}\n\n",
			empty: []string{
				"event: control-message\ndata: {\"event\":\"END_OF_CHANNEL\"}\n\n",
				"event: data\ndata: {\"data\":[]}\n\n",
				"event: data\ndata: {\"data\":[{\"tsId\":\"A\",\"value\":null}]}\n\n",
				"event: data\ndata: {\"data\":[{\"tsId\":\"A\",\"value\":\"NaN\"}]}",
			},
			several: "event: data\ndata: {\"data\":[{\"tsId\":\"A\",\"value\":1},{\"tsId\":\"B\",\"value\":2}]}\n\n",
			failure: `{"code":400,"message":"no such thing","errorType":"X"}`,
		},
		"externalmetrics": {
			secret: map[string]string{"token": "s3cret-token"},
			query:  "{{ namespace }}/queue|depth?labelSelector=app%3D{{ target }}",
			request: `GET /apis/external.metrics.k8s.io/v1beta1/namespaces/staging/queue%7Cdepth
  labelSelector=app=podinfo
Authorization: Bearer s3cret-token
`,
			headers:  []string{"Authorization"},
			value:    `{"kind":"ExternalMetricValueList","items":[{"metricName":"queue","value":"42500m"}]}`,
			empty:    []string{`{"kind":"ExternalMetricValueList","items":[]}`, `{"kind":"ExternalMetricValueList","items":[{"value":null}]}`},
			several:  `{"kind":"ExternalMetricValueList","items":[{"value":"1"},{"value":"2"}]}`,
			failure:  `{"kind":"Status","status":"Failure","message":"no such thing","code":400}`,
			optional: true,
		},
		"web": {
			spec:   flaggerv1.MetricTemplateProvider{JSONPath: "{.data.errors[*]}"},
			secret: map[string]string{"token": "s3cret-token"},
			query:  "/stats/{{ target }}?window={{ interval }}\n  &filter=status > 499",
			request: `GET /stats/podinfo
  filter=status > 499
  window=1m 
Authorization: Bearer s3cret-token
`,
			headers:  []string{"Authorization"},
			value:    `{"data":{"errors":["42.5"]}}`,
			empty:    []string{`{}`, `{"data":{"errors":[]}}`, `{"data":{"errors":[null]}}`, `{"data":{"errors":["NaN"]}}`},
			several:  `{"data":{"errors":[1,2]}}`,
			failure:  `{"message":"no such thing"}`,
			optional: true, opaque: true,
		},
	}
}

func cloudWatchAnswer(results string) string {
	return `<GetMetricDataResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><GetMetricDataResult><MetricDataResults>` +
		results +
		`</MetricDataResults></GetMetricDataResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetMetricDataResponse>`
}

func fluxAnswerOf(rows ...string) string {
	answer := "#datatype,string,long,double\r\n#group,false,false,false\r\n#default,_result,,\r\n,result,table,_value\r\n"
	for _, row := range rows {
		answer += row + "\r\n"
	}
	return answer + "\r\n"
}

// privateKey is a key file whose tokens are issued by the test's server.
var privateKey = sync.OnceValues(func() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(key)
})

func serviceAccount(t testing.TB) string {
	t.Helper()
	der, err := privateKey()
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "sluice@my-project.example", "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": "%s/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}
