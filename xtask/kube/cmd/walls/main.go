// walls is the last plugin of a node's CNI chain: it keeps a pod's containers from starting until the policy engine has
// the pod's walls in force. Without it a pod's first packets, often its first question to DNS, would be lost.
//
// It speaks just enough of the CNI protocol for a chained plugin and changes nothing of the earlier plugins' result.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
)

// patience covers a slow API server; containerd asks again after a failure.
const patience = 15 * time.Second

type configuration struct {
	CNIVersion     string          `json:"cniVersion"`
	Engine         string          `json:"engine"` // where the policy engine listens
	PreviousResult json.RawMessage `json:"prevResult"`
}

func main() {
	if err := run(os.Getenv("CNI_COMMAND"), os.Stdin, os.Stdout); err != nil {
		// The protocol wants errors as JSON on standard output.
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"cniVersion": "1.0.0", "code": 100, "msg": err.Error()})
		os.Exit(1)
	}
}

func run(command string, input io.Reader, output io.Writer) error {
	if command == "VERSION" {
		return json.NewEncoder(output).Encode(map[string]any{"cniVersion": "1.0.0", "supportedVersions": []string{"0.4.0", "1.0.0"}})
	}
	if command != "ADD" {
		return nil
	}
	var config configuration
	if err := json.NewDecoder(input).Decode(&config); err != nil {
		return err
	}
	if err := announce(config, os.Getenv("CNI_ARGS")); err != nil {
		return fmt.Errorf("policy engine: %w", err)
	}
	_, err := output.Write(config.PreviousResult)
	return err
}

// announce returns when the pod's walls are in force.
func announce(config configuration, arguments string) error {
	var result struct {
		IPs []struct {
			Address netip.Prefix `json:"address"`
		} `json:"ips"`
	}
	if err := json.Unmarshal(config.PreviousResult, &result); err != nil || len(result.IPs) == 0 {
		return errors.New("the plugin before this one gave the pod no address")
	}
	body, err := json.Marshal(map[string]string{"uid": podUID(arguments), "address": result.IPs[0].Address.Addr().String()})
	if err != nil {
		return err
	}
	client := http.Client{Timeout: patience}
	response, err := client.Post("http://"+config.Engine+"/pods", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		reason, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		return fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(reason))
	}
	return nil
}

// podUID finds the pod's UID in arguments of the form A=1;B=2.
func podUID(arguments string) string {
	for _, argument := range strings.Split(arguments, ";") {
		if value, found := strings.CutPrefix(argument, "K8S_POD_UID="); found {
			return value
		}
	}
	return ""
}
