// SPDX-License-Identifier: Apache-2.0

package contract

// The objects that owners make before a Canary of theirs is released.

const ingress = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  namespace: NAMESPACE
  name: APP-ingress
  labels: {app: APP}
  annotations:
    example.com/body-size: 8m
    kubectl.kubernetes.io/last-applied-configuration: "{}"
spec:
  ingressClassName: edge
  rules:
  - host: APP.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: APP, port: {number: 9898}}}}
      - {path: /docs, pathType: Prefix, backend: {service: {name: docs, port: {number: 80}}}}
  - host: other.example.com
`

const apisixRoute = `
apiVersion: apisix.apache.org/v2
kind: ApisixRoute
metadata:
  namespace: NAMESPACE
  name: APP-route
spec:
  ingressClassName: apisix
  http:
  - name: docs
    match: {paths: [/docs/*]}
    backends: [{serviceName: docs, servicePort: 80}]
  - name: method
    match: {hosts: [APP.example.com], methods: [GET], paths: [/*]}
    backends: [{serviceName: APP, servicePort: 9898, resolveGranularity: service}]
    plugins: [{name: prometheus, enable: true, config: {disable: false, prefer_name: true}}]
  stream:
  - name: tcp
    protocol: TCP
    match: {ingressPort: 9100}
    backend: {serviceName: APP, servicePort: 9898}
`

const virtualService = `
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {namespace: NAMESPACE, name: APP}
spec:
  hosts: [APP]
  http: [{route: [{destination: {host: APP}, weight: 100}]}]
`

const knativeService = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  namespace: NAMESPACE
  name: APP
  annotations: {flagger.app/primary-revision: APP-00001}
spec: {template: {spec: {containers: [{image: app}]}}}
`

const statefulSet = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {namespace: NAMESPACE, name: APP}
spec:
  replicas: 5
  selector: {matchLabels: {app: APP}}
  template: {metadata: {labels: {app: APP}}, spec: {containers: [{name: app, image: app}]}}
  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}
`

const services = `
apiVersion: v1
kind: Service
metadata: {namespace: NAMESPACE, name: APP-primary}
spec: {selector: {app: APP-primary}, ports: [{port: 9898}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: NAMESPACE, name: APP-canary}
spec: {selector: {app: APP}, ports: [{port: 9898}]}
`
