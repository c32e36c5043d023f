// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"fmt"
	"runtime"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// deploymentText is one as an API server returns it, with who manages which fields.
const deploymentText = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app%d
  namespace: ns
  uid: 00000000-0000-0000-0000-%012d
  resourceVersion: "%d"
  generation: 2
  creationTimestamp: "2026-05-01T12:00:00Z"
  labels: {app: app, kustomize.toolkit.fluxcd.io/name: app, kustomize.toolkit.fluxcd.io/namespace: ns}
  annotations: {deployment.kubernetes.io/revision: "2"}
  managedFields:
  - apiVersion: apps/v1
    fieldsType: FieldsV1
    manager: kustomize-controller
    operation: Apply
    time: "2026-05-01T12:00:00Z"
    fieldsV1: {f:metadata: {f:labels: {f:app: {}, f:kustomize.toolkit.fluxcd.io/name: {}, f:kustomize.toolkit.fluxcd.io/namespace: {}}},
      f:spec: {f:replicas: {}, f:selector: {}, f:template: {f:metadata: {f:labels: {f:app: {}}}, f:spec: {f:containers: {
      'k:{"name":"app"}': {.: {}, f:name: {}, f:image: {}, f:env: {'k:{"name":"COLOR"}': {.: {}, f:name: {}, f:value: {}}},
      f:ports: {'k:{"containerPort":9898,"protocol":"TCP"}': {.: {}, f:containerPort: {}}},
      f:resources: {f:requests: {f:cpu: {}, f:memory: {}}, f:limits: {f:memory: {}}}}}}}}}
  - apiVersion: apps/v1
    fieldsType: FieldsV1
    manager: kube-controller-manager
    operation: Update
    subresource: status
    time: "2026-05-01T12:00:10Z"
    fieldsV1: {f:metadata: {f:annotations: {.: {}, f:deployment.kubernetes.io/revision: {}}}, f:status: {f:availableReplicas: {},
      f:conditions: {.: {}, 'k:{"type":"Available"}': {.: {}, f:type: {}, f:status: {}, f:reason: {}, f:message: {}}},
      f:observedGeneration: {}, f:readyReplicas: {}, f:replicas: {}, f:updatedReplicas: {}}}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%%, maxUnavailable: 25%%}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
      - name: app
        image: registry.example.com/apps/app:1.2.3
        env: [{name: COLOR, value: blue}]
        ports: [{containerPort: 9898, protocol: TCP}]
        resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 128Mi}}
        terminationMessagePath: /dev/termination-log
        terminationMessagePolicy: File
        imagePullPolicy: IfNotPresent
      dnsPolicy: ClusterFirst
      restartPolicy: Always
      schedulerName: default-scheduler
      terminationGracePeriodSeconds: 30
status:
  availableReplicas: 2
  observedGeneration: 2
  readyReplicas: 2
  replicas: 2
  updatedReplicas: 2
  conditions:
  - {type: Available, status: "True", reason: MinimumReplicasAvailable, message: Deployment has minimum availability.,
     lastTransitionTime: "2026-05-01T12:00:10Z", lastUpdateTime: "2026-05-01T12:00:10Z"}
`

// BenchmarkHeld counts the memory that an informer keeps of a Deployment: what is needed here, the whole object, as a cache of
// controller-runtime keeps it, and the object without its managed fields, as one does that is told to.
func BenchmarkHeld(b *testing.B) {
	kinds := map[string]func(*unstructured.Unstructured) (any, error){
		"ours":               func(u *unstructured.Unstructured) (any, error) { return observer.trim(deployments, u) },
		"controller-runtime": func(u *unstructured.Unstructured) (any, error) { return u, nil },
		"controller-runtime-without-managed-fields": func(u *unstructured.Unstructured) (any, error) {
			u.SetManagedFields(nil)
			return u, nil
		},
	}
	for name, keep := range kinds {
		b.Run(name, func(b *testing.B) {
			held := make([]any, 0, b.N)
			before := heap()
			for i := range b.N {
				u := &unstructured.Unstructured{}
				if err := yaml.Unmarshal(fmt.Appendf(nil, deploymentText, i, i, i), &u.Object); err != nil {
					b.Fatal(err)
				}
				kept, err := keep(u)
				if err != nil {
					b.Fatal(err)
				}
				held = append(held, kept)
			}
			b.ReportMetric((heap()-before)/float64(b.N), "held-B/object")
			runtime.KeepAlive(held)
		})
	}
}

// heap is what is in use, in bytes.
func heap() float64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}
