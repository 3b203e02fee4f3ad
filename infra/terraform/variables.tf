variable "stage" {
  description = "Stage that the release folder was built for; part of all names."
  type        = string
}

variable "release_folder" {
  description = "What npm run build:release made."
  type        = string
}

variable "agent_image" {
  description = "Image of the ephemeral container; without one only clusters with the node agent are served."
  type        = string
  default     = ""
}

variable "agent_namespace" {
  description = "Where the node agents run."
  type        = string
  default     = "heapcatch"
}

variable "agent_command" {
  description = "JSON array; what exec runs in the node agent's pod, if not the image's own."
  type        = string
  default     = ""
}

variable "default_cluster_name" {
  description = "Cluster of an invocation that names none."
  type        = string
  default     = ""
}

variable "public_s3_endpoint" {
  description = "Where pods reach S3, if not where the functions do."
  type        = string
  default     = ""
}

variable "encryption_key_arn" {
  description = "KMS key for pods with heapcatch.dev/encrypt."
  type        = string
  default     = ""
}

variable "allow_plain_http" {
  description = "For a local AWS without TLS, never elsewhere."
  type        = bool
  default     = false
}

variable "retention_days" {
  description = "Of dumps, evidence and index entries."
  type        = number
  default     = 90
}

variable "default_retention_days" {
  description = "Of captures whose policy names no retention: 1, 3, 7, 14, 30, 60, 90, 180 or 365. Without one as retention_days."
  type        = string
  default     = ""
}

variable "log_retention_days" {
  description = "Of the functions' logs."
  type        = number
  default     = 30
}

variable "subnet_ids" {
  description = "With these the functions run in a VPC."
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "Of the same VPC."
  type        = list(string)
  default     = []
}

variable "data_key_arn" {
  description = "KMS key of bucket, table, queues and topics, in place of one of the stack's own."
  type        = string
  default     = ""
}

variable "bucket_name" {
  description = "A bucket of yours in place of one of the stack's own."
  type        = string
  default     = ""
}

variable "object_lock_mode" {
  description = "NONE, GOVERNANCE or COMPLIANCE."
  type        = string
  default     = "NONE"
}

variable "object_lock_days" {
  description = "How long nothing can be deleted, with object lock."
  type        = number
  default     = 30
}

variable "event_bus_name" {
  description = "A bus of yours in place of one of the stack's own."
  type        = string
  default     = ""
}

variable "alarm_topic_arn" {
  description = "A topic of yours in place of one of the stack's own."
  type        = string
  default     = ""
}

variable "dump_reader_arns" {
  description = "Who may take the role that reads dumps; without it whoever IAM allows."
  type        = list(string)
  default     = []
}

variable "readers_only" {
  description = "Nobody but that role reads dumps."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Of everything in the stack."
  type        = map(string)
  default     = {}
}
